/* The weights of $name, placed into the program's read-only data. */
#if defined(__APPLE__)
#define SYMBOL _${name}_embedded_weights
    .section __DATA,__const
    .private_extern SYMBOL
#else
#define SYMBOL ${name}_embedded_weights
    .section .rodata
    .hidden SYMBOL
#endif
    .globl SYMBOL
    .balign 64
SYMBOL:
    .incbin "$name.weights"
#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack,"",%progbits
#endif
