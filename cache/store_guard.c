#include "cache/store_internal.h"

#include <setjmp.h>
#include <signal.h>

/* A damaged or shortened file, or a disk that cannot be read, reaches us as a signal from within LMDB, since LMDB reads its
 * file as memory. What runs under store_guarded is left at that point and reported as damaged; a fault anywhere else is
 * not ours, and goes where it went before. Signals belong to the process, so this is the one place with variables of its
 * own. */
struct guard {
    sigjmp_buf at;
    struct guard *outer;
};

static _Thread_local struct guard *innermost;
static struct sigaction before_bus, before_segv;
static pthread_once_t installed = PTHREAD_ONCE_INIT;

void store_guard_escape(void)
{
    if (innermost != NULL) siglongjmp(innermost->at, 1);
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    store_guard_escape();
    const struct sigaction *before = signal_number == SIGBUS ? &before_bus : &before_segv;
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(signal_number, info, context);
    } else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
        before->sa_handler(signal_number);
    } else {
        struct sigaction plain = { .sa_handler = SIG_DFL };
        (void)sigaction(signal_number, &plain, NULL); /* the instruction runs again, and ends the process */
    }
}

static void install(void)
{
    /* Not deferred: the handler is left by a jump, and must meet the next fault too. */
    struct sigaction ours = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
    sigemptyset(&ours.sa_mask);
    (void)sigaction(SIGBUS, &ours, &before_bus);
    (void)sigaction(SIGSEGV, &ours, &before_segv);
}

void store_guard_install(void)
{
    (void)pthread_once(&installed, install);
}

int store_guarded(int (*run)(void *arg), void *arg, bool *fault)
{
    struct guard g = { .outer = innermost };
    *fault = false;
    if (sigsetjmp(g.at, 0) != 0) {
        innermost = g.outer;
        *fault = true;
        return MDB_CORRUPTED;
    }
    innermost = &g;
    int rc = run(arg);
    innermost = g.outer;
    return rc;
}
