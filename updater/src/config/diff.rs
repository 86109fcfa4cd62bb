//! What two documents differ in, line by line.

/// The most comparisons of lines that are worth it; documents with more in their middles are told as a whole.
const MAX_CELLS: usize = 4 << 20;

/// The lines of both, each after `-` (only in the old one), `+` (only in the new one) or a blank; empty if they are the same.
pub fn diff(old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - start;
    let end = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let (from, to) = (&old[start..old.len() - end], &new[start..new.len() - end]);
    let mut text = String::new();
    let mut line = |mark: char, words: &str| {
        text.push(mark);
        text.push_str(words);
        text.push('\n');
    };
    old[..start].iter().for_each(|words| line(' ', words));
    let longest = longest_common(from, to);
    let (mut a, mut b) = (0, 0);
    while a < from.len() || b < to.len() {
        match (from.get(a), to.get(b)) {
            (Some(words), Some(other)) if words == other => {
                line(' ', words);
                (a, b) = (a + 1, b + 1);
            }
            (Some(words), other) if other.is_none() || longest(a + 1, b) >= longest(a, b + 1) => {
                line('-', words);
                a += 1;
            }
            (_, Some(words)) => {
                line('+', words);
                b += 1;
            }
            (_, None) => break,
        }
    }
    old[old.len() - end..].iter().for_each(|words| line(' ', words));
    text
}

/// How many lines the two have in common, in order, from a line of each on.
fn longest_common(from: &[&str], to: &[&str]) -> impl Fn(usize, usize) -> u32 {
    let width = to.len() + 1;
    let fits = (from.len() + 1).checked_mul(width).is_some_and(|cells| cells <= MAX_CELLS);
    let mut table = vec![0_u32; if fits { (from.len() + 1) * width } else { 0 }];
    if fits {
        for a in (0..from.len()).rev() {
            for b in (0..to.len()).rev() {
                table[a * width + b] = if from[a] == to[b] {
                    table[(a + 1) * width + b + 1] + 1
                } else {
                    table[(a + 1) * width + b].max(table[a * width + b + 1])
                };
            }
        }
    }
    move |a, b| table.get(a * width + b).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_stayed_is_shown_once() {
        let (old, new) = ("a\nb\nc\nd\n", "a\nx\nc\ny\nd\n");
        assert_eq!(diff(old, new), " a\n-b\n+x\n c\n+y\n d\n");
        assert_eq!(diff(old, old), "");
        assert_eq!(diff("", "a\n"), "+a\n");
        assert_eq!(diff("a\n", ""), "-a\n");
        assert_eq!(diff("a\na\n", "a\n"), " a\n-a\n");
    }

    proptest! {
        #[test]
        fn both_can_be_read_out_of_it(old in "([abc]\n){0,12}", new in "([abc]\n){0,12}") {
            let told = diff(&old, &new);
            prop_assume!(old != new);
            let side = |other: char| -> String {
                told.lines().filter(|line| !line.starts_with(other)).flat_map(|line| [&line[1..], "\n"]).collect()
            };
            prop_assert_eq!(side('+'), old);
            prop_assert_eq!(side('-'), new);
        }
    }
}
