# A whole operating system for tests, in one sector, for SeaBIOS on q35.
#
# It counts its starts in the first byte of the second sector of its disk, says `boots N` on COM1 and hello on COM2, and then
# answers every line on COM2 like an agent: requests are numbered from 1, the answer to the second has id 2.
# An `R` in a line resets the machine through port 0xcf9; the power button switches it off (ACPI S5).
#
# as --32 boot_sector.S -o boot_sector.o && ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o boot_sector.bin boot_sector.o
        .code16
        .text
        .globl _start
        .set COUNT, 0x8000
        .set COM1, 0x3f8
        .set COM2, 0x2f8
        .set PM1_STATUS, 0x600
        .set PM1_ENABLE, 0x602
        .set PM1_CONTROL, 0x604
_start:
        cli
        xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $0x7c00, %sp
        mov     %dl, drive

        mov     $0x42, %ah
        call    disk
        incb    COUNT
        mov     $0x43, %ah
        call    disk
        mov     COUNT, %al
        add     $'0', %al
        mov     %al, digit

        cli
        mov     $PM1_ENABLE, %dx
        mov     $0x100, %ax
        out     %ax, %dx
        mov     $COM1, %dx
        mov     $boots, %si
        call    print
        mov     $COM2, %dx
        mov     $hello, %si
        call    print

listen: mov     $PM1_STATUS, %dx
        in      %dx, %ax
        test    $0x100, %ax
        jnz     off
        mov     $(COM2 + 5), %dx
        in      %dx, %al
        test    $1, %al
        jz      listen
        mov     $COM2, %dx
        in      %dx, %al
        cmp     $'R', %al
        je      reset
        cmp     $'\n', %al
        jne     listen
        mov     $answer, %si
        call    print
        incb    number
        jmp     listen

off:    mov     $COM1, %dx
        mov     $bye, %si
        call    print
        mov     $PM1_CONTROL, %dx
        mov     $0x2000, %ax
        out     %ax, %dx
        hlt
reset:  mov     $0xcf9, %dx
        mov     $0x06, %al
        out     %al, %dx
        hlt

# Reads (ah = 0x42) or writes (ah = 0x43) the second sector.
disk:   mov     drive, %dl
        mov     $packet, %si
        xor     %al, %al
        int     $0x13
        jnc     1f
        mov     $COM1, %dx
        mov     $broken, %si
        call    print
1:      ret

# Prints the string at si to the port in dx.
print:  lodsb
        test    %al, %al
        jz      2f
        mov     %al, %ah
        add     $5, %dx
1:      in      %dx, %al
        test    $0x20, %al
        jz      1b
        sub     $5, %dx
        mov     %ah, %al
        out     %al, %dx
        jmp     print
2:      ret

packet: .byte   16, 0
        .word   1, COUNT, 0
        .quad   1
drive:  .byte   0
boots:  .ascii  "boots "
digit:  .asciz  "?\r\n"
bye:    .asciz  "off\r\n"
broken: .asciz  "disk error\r\n"
hello:  .asciz  "{\"hello\":\"slipway-agent\",\"version\":\"sector\"}\n"
answer: .ascii  "{\"id\":"
number: .ascii  "1"
        .asciz  ",\"status\":0,\"stdout\":\"out\",\"stderr\":\"\",\"timed_out\":false}\n"

        .org    510
        .word   0xaa55
