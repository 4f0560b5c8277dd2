// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest without an operating system, whose memory is known to the page: for tests/bench/merge.
 *
 * QEMU's loader fills the RAM with a content file; this program leaves that alone and rewrites a region of it at a set
 * rate. It is started by QEMU as a multiboot kernel (32-bit protected mode, no paging) and lies with all that it uses
 * below 2 MiB. Between two ticks of the timer it halts, so that it costs the host next to nothing.
 *
 * Command line (QEMU puts a file name before it), each KEY=NUMBER: at=MIB pages=N rate=N seed=N. From MIB on, N pages
 * are rewritten again and again, `rate` pages a second. They are written in pairs: page i of the first half and page i of
 * the second half have the same content, which is new each time. The first word of a page is the number of the writing. So
 * half of the region could be saved at any moment, by who finds it before it is written again.
 *
 * Says READY on the first serial port. Build: tests/guest/build-bare FILE.
 */
#include <stdint.h>

#define WORDS         1024u
#define PAGE_BYTES    4096u
#define TICKS_PER_SEC 20u
#define PIT_HZ        1193182u
#define TIMER_VECTOR  0x20u

#define CODE_SELECTOR        0x08u
#define MULTIBOOT_CMDLINE_AT 16u

volatile uint32_t ticks;

/* The header, then the entry with the multiboot information in ebx, then the timer's interrupt. */
__asm__(".text\n"
        ".align 4\n"
        ".long 0x1badb002, 0, -0x1badb002\n"
        ".globl _start\n"
        "_start:\n"
        "       movl $stack + 4096, %esp\n"
        "       pushl %ebx\n"
        "       call run\n"
        "timer:\n"
        "       pushl %eax\n"
        "       incl ticks\n"
        "       movb $0x20, %al\n"
        "       outb %al, $0x20\n"
        "       popl %eax\n"
        "       iret\n");

uint8_t stack[4096];
extern void timer(void);

static uint64_t gdt[] = {
        0, UINT64_C(0x00cf9a000000ffff), /* all memory, code */
        UINT64_C(0x00cf92000000ffff),    /* all memory, data */
};
static uint64_t idt[TIMER_VECTOR + 1];

struct __attribute__((packed)) table {
        uint16_t limit;
        uint32_t base;
};

static void out(uint16_t port, uint8_t value)
{
        __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static void say(const char *text)
{
        while (*text)
                out(0x3f8, (uint8_t)*text++);
}

static void start_timer(void)
{
        const struct table gdt_at = {sizeof(gdt) - 1, (uint32_t)gdt};
        const struct table idt_at = {sizeof(idt) - 1, (uint32_t)idt};
        uint32_t handler = (uint32_t)timer, divisor = PIT_HZ / TICKS_PER_SEC;

        __asm__ volatile("lgdt %0\n"
                         "ljmp %1, $1f\n"
                         "1: movw %w2, %%ds\n"
                         "movw %w2, %%es\n"
                         "movw %w2, %%ss\n" ::"m"(gdt_at),
                         "i"(CODE_SELECTOR), "r"(0x10));
        idt[TIMER_VECTOR] = (uint64_t)(handler & 0xffff0000u) << 32 | UINT64_C(0x8e00) << 32 |
                            CODE_SELECTOR << 16 | (handler & 0xffffu);
        __asm__ volatile("lidt %0" ::"m"(idt_at));

        /* Interrupt controllers: vectors from 0x20 and 0x28 on, all masked but the timer. */
        out(0x20, 0x11), out(0xa0, 0x11);
        out(0x21, TIMER_VECTOR), out(0xa1, TIMER_VECTOR + 8);
        out(0x21, 4), out(0xa1, 2);
        out(0x21, 1), out(0xa1, 1);
        out(0x21, 0xfe), out(0xa1, 0xff);
        /* Timer: channel 0, both bytes, rate generator. */
        out(0x43, 0x34);
        out(0x40, (uint8_t)divisor), out(0x40, (uint8_t)(divisor >> 8));
        __asm__ volatile("sti");
}

static uint32_t number_of(const char *words, char first_letter)
{
        for (const char *p = words; *p; p++) {
                uint32_t value = 0;

                if (*p != first_letter || (p != words && p[-1] != ' '))
                        continue;
                while (*p && *p != '=' && *p != ' ')
                        p++;
                if (*p != '=')
                        continue;
                for (p++; *p >= '0' && *p <= '9'; p++)
                        value = value * 10 + (uint32_t)(*p - '0');
                return value;
        }
        return 0;
}

static void write_page(uint32_t *page, uint32_t writing, uint32_t seed)
{
        uint32_t state = (writing + 1) * 2654435761u ^ (seed + 1) * 2246822519u;

        if (state == 0)
                state = 1;
        page[0] = writing;
        for (uint32_t i = 1; i < WORDS; i++) {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                page[i] = state;
        }
}

__attribute__((used)) static void run(const uint8_t *multiboot)
{
        const char *words = *(const char *const *)(multiboot + MULTIBOOT_CMDLINE_AT);
        uint8_t *region = (uint8_t *)(number_of(words, 'a') << 20);
        uint32_t half = number_of(words, 'p') / 2, rate = number_of(words, 'r'), seed = number_of(words, 's');
        uint32_t pairs = 0, credit = 0, seen = 0;

        start_timer();
        say("READY\n");
        for (;;) {
                while (seen != ticks) {
                        seen++;
                        credit += rate;
                }
                for (; half > 0 && credit >= 2 * TICKS_PER_SEC; credit -= 2 * TICKS_PER_SEC, pairs++) {
                        uint8_t *page = region + pairs % half * PAGE_BYTES;

                        write_page((uint32_t *)page, pairs + 1, seed);
                        write_page((uint32_t *)(page + half * PAGE_BYTES), pairs + 1, seed);
                }
                __asm__ volatile("hlt");
        }
}
