# The smallest guest that tells whether an accelerator runs guests: 64 KiB of firmware with nothing else in it.
#
# Starts at the reset vector in real mode, goes through protected mode to long mode with paging on (where a hypervisor
# that only pretends may fail), and executes what a kernel's decompressor does: loads and stores through the new page
# tables, SSE2, and BMI2 where CPUID reports it. A hypervisor that emulates instructions one by one knows neither of the
# last two. Then it writes 0x2a to QEMU's debug-exit port, and QEMU exits with status 0x2a * 2 + 1 = 85.
#
# as --32 probe.S -o probe.o && ld -m elf_i386 -Ttext 0xfe00 --oformat binary -o probe.bin probe.o
#
# The result lies at 0xfe00 of the ROM; at the reset vector, 0xfff0, stands `ljmp $0xf000, $0xfe00`.
        .code16
        .text
        .globl _start
_start:
        cli
        # An identity map of the first 2 MiB, in RAM: PML4 at 0x1000, PDPT at 0x2000, PD at 0x3000.
        xor     %ax, %ax
        mov     %ax, %ds
        movl    $0x2003, 0x1000
        movl    $0x3003, 0x2000
        movl    $0x0083, 0x3000
        # The rest is copied to 0x7000, for offsets in the ROM's segment are not addresses under paging.
        mov     %ax, %es
        mov     $0xf000, %ax
        mov     %ax, %ds
        mov     $gdt, %si
        mov     $0x7000, %di
        mov     $(end - gdt), %cx
        cld
        rep movsb
        mov     %es, %cx
        mov     %cx, %ds
        lgdtl   0x7000 + (gdt_pointer - gdt)
        mov     %cr4, %eax
        or      $0x220, %ax             # PAE, and OSFXSR for SSE
        mov     %eax, %cr4
        mov     $0x1000, %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x100, %ax             # EFER.LME
        wrmsr
        mov     %cr0, %eax
        or      $0x80000001, %eax
        mov     %eax, %cr0
        ljmpl   $0x08, $(0x7000 + (long_mode - gdt))

        .balign 8
gdt:    .quad   0
        .quad   0x00209a0000000000
gdt_pointer:
        .word   15
        .long   0x7000

        .code64
long_mode:
        # 1. Memory.
        movabs  $0x5157414c53495030, %rcx
        mov     %rcx, 0x8000
        mov     0x8000, %rsi
        cmp     %rcx, %rsi
        jne     failed
        # 2. SSE2.
        movq    %rcx, %xmm0
        paddq   %xmm0, %xmm0
        movq    %xmm0, %rax
        add     %rcx, %rsi
        cmp     %rax, %rsi
        jne     failed
        # 3. BMI2, if CPUID leaf 7 has it.
        mov     $7, %eax
        xor     %ecx, %ecx
        cpuid
        bt      $8, %ebx
        jnc     passed
        mov     $3, %eax
        mov     $4, %ecx
        shlx    %rcx, %rax, %rdx
        cmp     $48, %edx
        jne     failed
passed: mov     $0x2a, %al
        jmp     leave
failed: mov     $0x01, %al
leave:  out     %al, $0xf4              # QEMU ends a little later
1:      hlt
        jmp     1b
end:
