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
 * FILE gets "kind count" lines, and is written as the calls happen: a death does not lose it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
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
#include <time.h>
#include <unistd.h>

enum kind { ALLOC, IO, STORE, ANSWER, CLOCK, KINDS };

static const char *const names[KINDS] = {"alloc", "io", "store", "answer", "clock"};

static uint64_t own_counts[KINDS];
static uint64_t *counts = own_counts; /* shared with the file when there is one */
static enum kind plan_kind = KINDS;
static uint64_t plan_n;

/* Before anything of the program runs; without allocating. */
__attribute__((constructor)) static void begin(void)
{
    const char *plan = getenv("FAULTS_PLAN"), *file = getenv("FAULTS_COUNT");
    int fd = file ? open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0644) : -1;
    if (fd >= 0 && ftruncate(fd, sizeof own_counts) == 0) {
        void *page = mmap(NULL, sizeof own_counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (page != MAP_FAILED)
            counts = page;
    }
    if (fd >= 0)
        close(fd);
    for (int k = 0; plan && k < KINDS; k++) {
        size_t n = strlen(names[k]);
        if (strncmp(plan, names[k], n) == 0 && plan[n] == ':') {
            plan_kind = (enum kind)k;
            plan_n = strtoull(plan + n + 1, NULL, 10);
        }
    }
}

/* Counts a call; true when it is the one to fail. */
static bool fails(enum kind k)
{
    uint64_t n = __atomic_add_fetch(&counts[k], 1, __ATOMIC_RELAXED);
    return k == plan_kind && n == plan_n;
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
        return io_fails(fd, writes) ? -1 : real(__VA_ARGS__);                                      \
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

/* ---- the store's libraries: their headers are not needed for what is bent here ----------------
 */

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

/* ---- the wall clock ----------------------------------------------------------------------------
 */

enum { LEAP_S = 86400 };

static time_t leap(void)
{
    uint64_t n = __atomic_add_fetch(&counts[CLOCK], 1, __ATOMIC_RELAXED);
    if (plan_kind != CLOCK || n < plan_n || plan_n == 0)
        return 0;
    return plan_n % 2 ? -LEAP_S : LEAP_S;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    typedef int (*call)(clockid_t, struct timespec *);
    REAL(call, "clock_gettime");
    int rc = real(clock, t);
    if (rc == 0 && clock == CLOCK_REALTIME)
        t->tv_sec += leap();
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
