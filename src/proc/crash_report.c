#include "proc/crash_report.h"
#include "base/mem.h"
#include "proc/counters.h"

#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

enum {
    MODULES = 64,
    FRAMES = 32,
    FRAMES_OURS = 2, /* the handler and what called it */
    STACK_BYTES = 64 * 1024,
    SECONDS = 3,
};

static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};

static struct module {
    uintptr_t base, start, end;
    const char *name;
} modules[MODULES];
static size_t n_modules;
static atomic_flag speaking = ATOMIC_FLAG_INIT;
static char stack[STACK_BYTES]; /* a stack that overflowed has no room for a handler */

bool crash_report_is_fatal(int signal_number)
{
    bool is = false;
    for (size_t i = 0; i < COUNT_OF(fatal); i++)
        is |= fatal[i] == signal_number;
    return is;
}

/* ---- before ---------------------------------------------------------------------------------- */

static int crash_report_add_module(struct dl_phdr_info *info, size_t size, void *ctx)
{
    (void)size;
    (void)ctx;
    for (int i = 0; i < info->dlpi_phnum && n_modules < MODULES; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type != PT_LOAD || !(h->p_flags & PF_X))
            continue;
        const char *slash = strrchr(info->dlpi_name, '/');
        uintptr_t start = info->dlpi_addr + h->p_vaddr;
        modules[n_modules++] = (struct module){info->dlpi_addr, start, start + h->p_memsz,
                                               slash                ? slash + 1
                                               : info->dlpi_name[0] ? info->dlpi_name
                                                                    : "trueup"};
    }
    return 0;
}

/* ---- in the handler: nothing but plain stores ------------------------------------------------ */

static void crash_report_add(char *out, const char *text)
{
    size_t n = strlen(out);
    while (*text && n < COUNTERS_WORDS - 1)
        out[n++] = *text++;
    out[n] = '\0';
}

static void crash_report_add_hex(char *out, uintptr_t value)
{
    char digits[2 * sizeof value + 3];
    char *at = digits + sizeof digits;
    *--at = '\0';
    do
        *--at = "0123456789abcdef"[value & 15];
    while (value >>= 4);
    *--at = 'x';
    *--at = '0';
    crash_report_add(out, at);
}

static void crash_report_add_place(char *out, uintptr_t at)
{
    for (size_t i = 0; i < n_modules; i++)
        if (at >= modules[i].start && at < modules[i].end) {
            crash_report_add(out, modules[i].name);
            crash_report_add(out, "+");
            crash_report_add_hex(out, at - modules[i].base);
            return;
        }
    crash_report_add_hex(out, at);
}

/* Where the process was when the signal came; 0 where we do not know how to ask. */
static uintptr_t crash_report_interrupted_at(const void *context)
{
#if defined(__x86_64__)
    return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.pc;
#else
    (void)context;
    return 0;
#endif
}

/* The first of the frames that is not the handler's own: how many those are, and whether one of
 * them went into another, is the compiler's affair. */
static int crash_report_after_handler(void *const *frames, int n, uintptr_t at)
{
    for (int i = 0; at && i < n; i++)
        if ((uintptr_t)frames[i] == at)
            return i + 1;
    return FRAMES_OURS < n ? FRAMES_OURS : n;
}

/* The place itself comes first and from the processor: to walk up a stack that is broken may be the
 * end of the walker, too. */
static void crash_report_write(int number, const siginfo_t *info, const void *context, char *out)
{
    void *frames[FRAMES];
    uintptr_t at = crash_report_interrupted_at(context);
    out[0] = '\0';
    if (number == SIGSEGV || number == SIGBUS) {
        crash_report_add(out, "address ");
        crash_report_add_hex(out, (uintptr_t)info->si_addr);
        crash_report_add(out, " ");
    }
    crash_report_add(out, "in");
    if (at) {
        crash_report_add(out, " ");
        crash_report_add_place(out, at);
    }
    int n = backtrace(frames, FRAMES);
    for (int i = crash_report_after_handler(frames, n, at); i < n; i++) {
        crash_report_add(out, " ");
        crash_report_add_place(out, (uintptr_t)frames[i] -
                                        1); /* it returns there; the call is before it */
    }
}

static void crash_report_on_fatal(int number, siginfo_t *info, void *context)
{
    signal(SIGALRM, SIG_DFL);
    alarm(SECONDS);
    if (!atomic_flag_test_and_set(&speaking)) {
        char alone[COUNTERS_WORDS] = "", *shared = counters_crash_report();
        char *out = shared ? shared : alone;
        crash_report_write(number, info, context, out);
        if (!shared) {
            crash_report_add(out, "\n");
            ssize_t ignored = write(STDERR_FILENO, out, strlen(out));
            (void)ignored;
        }
    }
    signal(number, SIG_DFL);
    raise(number); /* and so the parent sees what it was, and a core is written if one is wanted */
}

#if defined(__SANITIZE_ADDRESS__)
#define HAS_OWN_REPORT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_OWN_REPORT 1
#endif
#endif
#ifndef HAS_OWN_REPORT
#define HAS_OWN_REPORT 0
#endif

void crash_report_install(void)
{
    struct sigaction act = {.sa_sigaction = crash_report_on_fatal,
                            .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_NODEFER)};
    stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    void *frames[1];
    if (HAS_OWN_REPORT)
        return;
    n_modules = 0;
    dl_iterate_phdr(crash_report_add_module, NULL);
    backtrace(frames, 1); /* loads the unwinder: the handler must not */
    sigaltstack(&alternative, NULL);
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < COUNT_OF(fatal); i++)
        sigaction(fatal[i], &act, NULL);
}
