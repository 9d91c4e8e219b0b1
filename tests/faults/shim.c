/*
 * Makes the n-th call of a kind fail, in a program that knows nothing of it:
 *
 *     LD_PRELOAD=libfaults.so FAULTS_PLAN=alloc:1234 FAULTS_COUNT=FILE trueup worker follow --once
 *
 * Kinds, each counted on its own from the start of the process; n = 0 never fails, for counting:
 *     alloc    malloc, calloc, realloc give NULL
 *     io       read, write, send, recv and their like fail with the errno that fits
 *     store    before the call: SQLite says no; to PostgreSQL the connection is cut
 *     answer   PostgreSQL does what it was told, and the connection is cut before it says so
 *     clock    from the n-th look at the wall clock on, it is a day later (n even) or earlier (odd)
 *     death    the process is killed before the n-th of the calls that io counts
 * FILE gets a number a kind, how often it was called, and one more: the stack of the call that
 * failed, 0 if none did. It is written as the calls happen: a death does not lose it.
 *
 * FAULTS_TRACE=1 has that stack told on standard error.
 *
 * FAULTS_CALLS=FILE gets a struct call for every call, in their order. A stack is a number made of
 * the places that led there, FILE+OFFSET each: the same in every run of the same programs.
 *
 * FAULTS_PLAN=alloc:every tries all allocations in one run: at each the process forks, and in the
 * child it fails. A child that ends as it must, with its last words and nothing else done to the
 * world, is as good as a run of its own: it is the process killed there. One that would touch the
 * world, which its parent still needs, ends before it does, and must be tried alone.
 *
 * Once a call has failed, time goes faster whenever the program waits: who waits 40 s for an answer
 * that is lost waits 4, and believes it were 40. While a child lives it stands still.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum kind { ALLOC, IO, STORE, ANSWER, CLOCK, DEATH, KINDS };

static const char *const names[KINDS] = {"alloc", "io", "store", "answer", "clock", "death"};

enum { FAILED = KINDS, CELLS, FRAMES = 48, CALLS_MAX = 1000000, HASTE = 10 };
enum { OUT_OF_MEMORY = 70, TOUCHES_THE_WORLD = 99, CHILD_S = 5 };

struct call {
    uint64_t kind; /* 1 and up */
    uint64_t stack;
    uint64_t child; /* its exit status, + 1; 0: none was tried */
};

static uint64_t own_counts[CELLS];
static uint64_t *counts = own_counts; /* shared with the file when there is one */
static struct call *calls;            /* NULL: not asked for */
static uint64_t n_calls;
static bool every;       /* allocation, in children */
static bool child;       /* this is one */
static bool *child_said; /* shared with the parent: its last words */
static enum kind plan_kind = KINDS;
static uint64_t plan_n;
static struct dl_find_object own;
static _Thread_local bool inside; /* what the shim itself allocates is not the program's */

static void *file_as_memory(const char *name, size_t n)
{
    int fd = name ? open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644) : -1;
    void *page = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)n) == 0)
        page = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return page == MAP_FAILED ? NULL : page;
}

/* Before anything of the program runs. */
__attribute__((constructor)) static void begin(void)
{
    const char *plan = getenv("FAULTS_PLAN");
    uint64_t *page = file_as_memory(getenv("FAULTS_COUNT"), sizeof own_counts);
    void *frames[1];
    inside = true;
    backtrace(frames, 1); /* loads the unwinder */
    _dl_find_object((void *)(uintptr_t)begin, &own);
    inside = false;
    if (page)
        counts = page;
    calls = file_as_memory(getenv("FAULTS_CALLS"), CALLS_MAX * sizeof *calls);
    child_said =
        mmap(NULL, sizeof *child_said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    every = calls && plan && strcmp(plan, "alloc:every") == 0;
    for (int k = 0; plan && k < KINDS; k++) {
        size_t n = strlen(names[k]);
        if (strncmp(plan, names[k], n) == 0 && plan[n] == ':') {
            plan_kind = (enum kind)k;
            plan_n = strtoull(plan + n + 1, NULL, 10);
        }
    }
}

static uint64_t mixed(uint64_t hash, const void *from, size_t n)
{
    const unsigned char *p = from;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * 0x100000001b3; /* FNV-1a */
    return hash;
}

static uint64_t stack_of_call(void)
{
    void *frames[FRAMES];
    uint64_t hash = 0xcbf29ce484222325;
    inside = true;
    int n = backtrace(frames, FRAMES);
    for (int i = 0; i < n; i++) {
        struct dl_find_object in;
        if (_dl_find_object(frames[i], &in) != 0 || in.dlfo_link_map == own.dlfo_link_map)
            continue;
        const char *name = in.dlfo_link_map->l_name;
        uint64_t at = (uint64_t)((char *)frames[i] - (char *)in.dlfo_link_map->l_addr);
        hash = mixed(mixed(hash, name, strlen(name)), &at, sizeof at);
    }
    inside = false;
    return hash ? hash : 1;
}

/* Of the real time; behind it, as a number that wraps, where children lived. */
static uint64_t ahead_ns;

static uint64_t real_ns(void);

/* True in the child. */
static bool forked(struct call *c)
{
    int status = 0;
    uint64_t began = real_ns();
    *child_said = false;
    inside = true;
    pid_t pid = fork();
    if (pid == 0) {
        child = true;
        every = inside = false;
        calls = NULL;
        alarm(CHILD_S);
        return true;
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    inside = false;
    bool well = pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == OUT_OF_MEMORY && *child_said;
    c->child = 1 + (well ? OUT_OF_MEMORY : TOUCHES_THE_WORLD);
    __atomic_fetch_sub(&ahead_ns, real_ns() - began, __ATOMIC_RELAXED);
    return false;
}

/* Counts a call; true when it is the one to fail. */
static bool counted(enum kind k)
{
    uint64_t n = __atomic_add_fetch(&counts[k], 1, __ATOMIC_RELAXED);
    struct call *c = NULL;
    if (calls) {
        uint64_t i = __atomic_fetch_add(&n_calls, 1, __ATOMIC_RELAXED);
        c = &calls[i < CALLS_MAX ? i : CALLS_MAX - 1];
        *c = (struct call){k + 1, stack_of_call(), 0};
    }
    if (every && k == ALLOC)
        return forked(c);
    if (child || k != plan_kind || n != plan_n)
        return false;
    counts[FAILED] = stack_of_call();
    if (getenv("FAULTS_TRACE")) {
        void *frames[FRAMES];
        inside = true;
        backtrace_symbols_fd(frames, backtrace(frames, FRAMES), STDERR_FILENO);
        inside = false;
    }
    return true;
}

static bool fails(enum kind k)
{
    return !inside && counted(k);
}

/* Before the program reads, writes or waits. */
static void about_to_touch_the_world(void)
{
    if (child)
        _exit(TOUCHES_THE_WORLD);
    if (fails(DEATH))
        raise(SIGKILL);
}

/* The real function, looked up once; dlsym may allocate, which is counted and harmless. */
#define REAL(type, name)                                                                           \
    static type real;                                                                              \
    if (!real)                                                                                     \
    *(void **)&real = dlsym(RTLD_NEXT, name)

/* ---- memory ---------------------------------------------------------------------------------- */

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

void *malloc(size_t n)
{
    return fails(ALLOC) ? no_memory() : __libc_malloc(n);
}

void *calloc(size_t count, size_t n)
{
    return fails(ALLOC) ? no_memory() : __libc_calloc(count, n);
}

void *realloc(void *p, size_t n)
{
    return fails(ALLOC) ? no_memory() : __libc_realloc(p, n);
}

/* ---- reading and writing --------------------------------------------------------------------- */

static bool is_socket(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* A connection that was reset stays so: what comes after on it fails by itself. */
static bool io_fails(int fd, bool writes)
{
    about_to_touch_the_world();
    if (!fails(IO))
        return false;
    bool socket = is_socket(fd);
    if (socket)
        shutdown(fd, SHUT_RDWR);
    errno = socket ? ECONNRESET : writes ? ENOSPC : EIO;
    return true;
}

#define IO_CALL(name, writes, params, ...)                                                         \
    ssize_t name params                                                                            \
    {                                                                                              \
        typedef ssize_t(*call) params;                                                             \
        REAL(call, #name);                                                                         \
        if (child && writes && fd == STDERR_FILENO)                                                \
            return swallowed();                                                                    \
        return io_fails(fd, writes) ? -1 : real(__VA_ARGS__);                                      \
    }

/* Last words. */
static ssize_t swallowed(void)
{
    *child_said = true;
    return 1;
}

IO_CALL(read, false, (int fd, void *to, size_t n), fd, to, n)
IO_CALL(write, true, (int fd, const void *from, size_t n), fd, from, n)
IO_CALL(pread, false, (int fd, void *to, size_t n, off_t at), fd, to, n, at)
IO_CALL(pread64, false, (int fd, void *to, size_t n, off64_t at), fd, to, n, at)
IO_CALL(pwrite, true, (int fd, const void *from, size_t n, off_t at), fd, from, n, at)
IO_CALL(pwrite64, true, (int fd, const void *from, size_t n, off64_t at), fd, from, n, at)
IO_CALL(readv, false, (int fd, const struct iovec *v, int n), fd, v, n)
IO_CALL(writev, true, (int fd, const struct iovec *v, int n), fd, v, n)
IO_CALL(recv, false, (int fd, void *to, size_t n, int flags), fd, to, n, flags)
IO_CALL(send, true, (int fd, const void *from, size_t n, int flags), fd, from, n, flags)
IO_CALL(recvmsg, false, (int fd, struct msghdr *m, int flags), fd, m, flags)
IO_CALL(sendmsg, true, (int fd, const struct msghdr *m, int flags), fd, m, flags)

#define SYNC_CALL(name)                                                                            \
    int name(int fd)                                                                               \
    {                                                                                              \
        typedef int (*call)(int);                                                                  \
        REAL(call, #name);                                                                         \
        return io_fails(fd, true) ? -1 : real(fd);                                                 \
    }

SYNC_CALL(fsync)
SYNC_CALL(fdatasync)

int unlink(const char *name)
{
    typedef int (*call)(const char *);
    REAL(call, "unlink");
    about_to_touch_the_world();
    return real(name);
}

int ftruncate64(int fd, off64_t n)
{
    typedef int (*call)(int, off64_t);
    REAL(call, "ftruncate64");
    about_to_touch_the_world();
    return real(fd, n);
}

/* ---- the store's libraries ------------------------------------------------------------------- */

/* Their headers are not needed for what is bent here. */

struct sqlite3;
struct sqlite3_stmt;
struct pg_conn;
struct pg_result;

enum { SQ_FULL = 13, SQ_IOERR = 10, SQ_BUSY = 5 };

int sqlite3_step(struct sqlite3_stmt *st);
int sqlite3_exec(struct sqlite3 *db, const char *sql, int (*row)(void *, int, char **, char **),
                 void *ctx, char **words);

/* SQLite steps statements of its own, while it reads the schema for one; that it may be told so by
 * itself, and believes what it has seen so far, is no fault that the world has. */
static bool by_sqlite(void *caller)
{
    Dl_info who;
    return dladdr(caller, &who) && who.dli_fname && strstr(who.dli_fname, "libsqlite3");
}

#define REFUSED (!by_sqlite(__builtin_return_address(0)) && fails(STORE))

static int refusal(void)
{
    static const int codes[] = {SQ_FULL, SQ_IOERR, SQ_BUSY};
    return codes[plan_n % 3];
}

int sqlite3_step(struct sqlite3_stmt *st)
{
    typedef int (*call)(struct sqlite3_stmt *);
    REAL(call, "sqlite3_step");
    return REFUSED ? refusal() : real(st);
}

int sqlite3_exec(struct sqlite3 *db, const char *sql, int (*row)(void *, int, char **, char **),
                 void *ctx, char **words)
{
    typedef int (*call)(struct sqlite3 *, const char *, int (*)(void *, int, char **, char **),
                        void *, char **);
    REAL(call, "sqlite3_exec");
    return REFUSED ? refusal() : real(db, sql, row, ctx, words);
}

static void cut(struct pg_conn *c)
{
    static int (*socket_of)(const struct pg_conn *);
    if (!socket_of)
        *(void **)&socket_of = dlsym(RTLD_NEXT, "PQsocket");
    shutdown(socket_of(c), SHUT_RDWR);
}

/* A statement is done once the server has said so: wait for its words, then throw them away. */
static void cut_behind(struct pg_conn *c)
{
    static int (*socket_of)(const struct pg_conn *), (*flush)(struct pg_conn *);
    char away[4096];
    struct timeval patience = {.tv_usec = 300000};
    if (!socket_of) {
        *(void **)&socket_of = dlsym(RTLD_NEXT, "PQsocket");
        *(void **)&flush = dlsym(RTLD_NEXT, "PQflush");
    }
    int fd = socket_of(c);
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    flush(c);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while (recv(fd, away, sizeof away, 0) > 0) /* until it has nothing more to say */
        ;
    fcntl(fd, F_SETFL, flags);
    shutdown(fd, SHUT_RDWR);
}

#define SEND_CALL(name, params, ...)                                                               \
    int name params;                                                                               \
    int name params                                                                                \
    {                                                                                              \
        typedef int(*call) params;                                                                 \
        REAL(call, #name);                                                                         \
        if (fails(STORE))                                                                          \
            cut(c);                                                                                \
        int rc = real(__VA_ARGS__);                                                                \
        if (fails(ANSWER))                                                                         \
            cut_behind(c);                                                                         \
        return rc;                                                                                 \
    }

SEND_CALL(PQsendQuery, (struct pg_conn * c, const char *sql), c, sql)
SEND_CALL(PQsendQueryParams,
          (struct pg_conn * c, const char *sql, int n, const unsigned *types,
           const char *const *values, const int *lengths, const int *formats, int format),
          c, sql, n, types, values, lengths, formats, format)
SEND_CALL(PQsendQueryPrepared,
          (struct pg_conn * c, const char *name, int n, const char *const *values,
           const int *lengths, const int *formats, int format),
          c, name, n, values, lengths, formats, format)
SEND_CALL(PQsendPrepare,
          (struct pg_conn * c, const char *name, const char *sql, int n, const unsigned *types), c,
          name, sql, n, types)

/* ---- the wall clock -------------------------------------------------------------------------- */

enum { LEAP_S = 86400 };

static void hurry(struct timespec *t)
{
    int64_t ns = (int64_t)__atomic_load_n(&ahead_ns, __ATOMIC_RELAXED) + t->tv_nsec;
    t->tv_sec += (time_t)(ns / 1000000000);
    t->tv_nsec = (long)(ns % 1000000000);
    if (t->tv_nsec < 0) {
        t->tv_sec--;
        t->tv_nsec += 1000000000;
    }
}

static uint64_t real_ns(void)
{
    struct timespec t;
    typedef int (*call)(clockid_t, struct timespec *);
    REAL(call, "clock_gettime");
    real(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int poll(struct pollfd *fds, nfds_t n, int ms)
{
    typedef int (*call)(struct pollfd *, nfds_t, int);
    REAL(call, "poll");
    if (child)
        _exit(TOUCHES_THE_WORLD);
    if (!counts[FAILED] || ms < HASTE)
        return real(fds, n, ms);
    int rc = real(fds, n, ms / HASTE);
    if (rc == 0)
        __atomic_fetch_add(&ahead_ns, (uint64_t)(ms - ms / HASTE) * 1000000, __ATOMIC_RELAXED);
    return rc;
}

static bool leapt;

static time_t leap(void)
{
    if (fails(CLOCK))
        leapt = true;
    return !leapt ? 0 : plan_n % 2 ? -LEAP_S : LEAP_S;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    typedef int (*call)(clockid_t, struct timespec *);
    REAL(call, "clock_gettime");
    int rc = real(clock, t);
    if (rc == 0 && clock == CLOCK_REALTIME)
        t->tv_sec += leap();
    else if (rc == 0 && clock == CLOCK_MONOTONIC)
        hurry(t);
    return rc;
}

time_t time(time_t *ret)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (ret)
        *ret = t.tv_sec;
    return t.tv_sec;
}
