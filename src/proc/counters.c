#include "proc/counters.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_TRIES = 100, WELL_S = 5 };

#define PAGE_MARK UINT64_C(0x7472756575703033)

typedef _Atomic uint64_t number;

struct counters_text {
    number sequence; /* odd while it is being written */
    number at;       /* wall s */
    char bytes[COUNTERS_TEXT];
};

struct endpoint_cells {
    struct counters_text name, paused_why, reader;
    number requests[COUNTERS_METHODS][COUNTERS_OUTCOMES];
    number bytes_in, bytes_out, cost, missed_logs, misplaced, looks_alone, took_ms, answers,
        latency_us, paused_until, answered_at, failing_since, asked_since, batch, gas, pushes,
        pushed_bytes, log_forms;
    number pauses[PAUSES];
};

struct lap_cells {
    number started, rows, laps;
};

struct worker_cells {
    struct counters_text name, exit_reason;
    number pid, started, parked_until, dying_since, dying_times, deaths[DEATHS];
};

struct layout_cells {
    struct counters_text event, fits;
    number topics, data_bytes, logs, lost;
};

struct call_cells {
    struct counters_text words;
    number since, times;
};

struct part {
    number cells[CELLS];
    struct endpoint_cells endpoints[COUNTERS_ENDPOINTS];
    struct lap_cells laps[COUNTERS_BALANCES];
    struct layout_cells layouts[COUNTERS_LAYOUTS];
    struct call_cells calls[CALLS];
    struct counters_text trouble, held_why;
    number held_since;  /* wall ms; 0: the checkpoint is not held */
    number alive_until; /* monotonic ms */
    char crash_report[COUNTERS_WORDS];
};

struct page {
    uint64_t mark, size; /* two versions of the program must not share one */
    number started;
    struct counters_text owner, role_terms;
    struct worker_cells workers[COUNTERS_WORKERS];
    struct part parts[PARTS];
};

static struct page private_page;
static struct page *page = &private_page;
static struct part *mine = &private_page.parts[PART_SUPERVISOR];
static int page_fd = -1;

static const char *const part_names[PARTS] = {"trueup", "follow", "sweep", "listen", "web"};

const int64_t counters_bucket_ms[COUNTERS_BUCKETS] = {50,   100,   250,   500,   1000,   2000,
                                                      5000, 10000, 30000, 60000, 300000, 3600000};

const char *const counters_death_names[DEATHS] = {"exit", "memory", "signal", "crash", "hung"};

const char *const counters_methods[COUNTERS_METHODS] = {
    "other",       "eth_call",    "eth_getLogs",  "eth_getBlockByNumber", "eth_getBlockByHash",
    "eth_chainId", "eth_getCode", "eth_subscribe"};

const char *const counters_logs_ignored_names[LOGS_IGNORED_REASONS] = {
    [LOGS_REMOVED] = "removed",         [LOGS_DUPLICATE] = "duplicate",
    [LOGS_FOREIGN] = "foreign",         [LOGS_OUTSIDE_RANGE] = "outside_range",
    [LOGS_OTHER_BLOCK] = "other_block", [LOGS_LAYOUT] = "layout",
    [LOGS_NO_BLOCK] = "no_block",       [LOGS_UNREADABLE] = "unreadable"};

static uint64_t counters_load(const number *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

/* One writer: no read-modify-write is needed. */
static void counters_store(number *n, uint64_t v)
{
    atomic_store_explicit(n, v, memory_order_relaxed);
}

static void counters_increase(number *n, uint64_t by)
{
    counters_store(n, counters_load(n) + by);
}

static void counters_text_put(struct counters_text *t, const char *words)
{
    uint64_t s = counters_load(&t->sequence) | 1; /* a writer killed half-way left it odd */
    atomic_store_explicit(&t->sequence, s, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    snprintf(t->bytes, sizeof t->bytes, "%s", words ? words : "");
    counters_store(&t->at, (uint64_t)wall_seconds());
    atomic_store_explicit(&t->sequence, s + 1, memory_order_release);
}

/* "" when it cannot be had whole: a writer may have died in the middle of it. */
static uint64_t counters_text_get(const struct counters_text *t, char *ret, size_t room)
{
    for (int i = 0; i < READ_TRIES; i++) {
        uint64_t before = atomic_load_explicit(&t->sequence, memory_order_acquire);
        if (before & 1)
            continue;
        char copy[COUNTERS_TEXT];
        uint64_t at = counters_load(&t->at);
        memcpy(copy, t->bytes, sizeof copy);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&t->sequence, memory_order_relaxed) == before) {
            copy[sizeof copy - 1] = '\0';
            snprintf(ret, room, "%s", copy);
            return at;
        }
    }
    ret[0] = '\0';
    return 0;
}

/* ---- counting -------------------------------------------------------------------------------- */

void counters_add(enum cell c, uint64_t n)
{
    counters_increase(&mine->cells[c], n);
}

void counters_set(enum cell c, uint64_t value)
{
    counters_store(&mine->cells[c], value);
}

void counters_event_to_row(int64_t ms, uint64_t n)
{
    ms = ms < 0 ? 0 : ms;
    counters_increase(&mine->cells[CELL_EVENT_ROWS], n);
    counters_increase(&mine->cells[CELL_EVENT_MS], (uint64_t)ms * n);
    for (int i = 0; i < COUNTERS_BUCKETS; i++)
        if (ms <= counters_bucket_ms[i])
            counters_increase(&mine->cells[CELL_EVENT_BUCKET + i], n);
}

void counters_lap(size_t balance, bool fresh, uint64_t rows)
{
    if (balance >= COUNTERS_BALANCES)
        return;
    struct lap_cells *l = &mine->laps[balance];
    if (fresh || counters_load(&l->started) == 0) {
        counters_increase(&l->laps, counters_load(&l->started) != 0);
        counters_store(&l->started, (uint64_t)wall_seconds());
        counters_store(&l->rows, 0);
    }
    counters_increase(&l->rows, rows);
}

/* What is beyond the page is counted and never shown. */
static struct endpoint_cells *counters_endpoint_of(size_t i)
{
    static struct endpoint_cells beyond;
    return i < COUNTERS_ENDPOINTS ? &mine->endpoints[i] : &beyond;
}

static struct worker_cells *counters_worker_of(size_t slot)
{
    static struct worker_cells beyond;
    return slot < COUNTERS_WORKERS ? &page->workers[slot] : &beyond;
}

void counters_endpoint(size_t endpoint, const char *name)
{
    counters_text_put(&counters_endpoint_of(endpoint)->name, name);
}

size_t counters_method(const char *method)
{
    for (size_t i = 1; i < COUNTERS_METHODS; i++)
        if (strcmp(counters_methods[i], method) == 0)
            return i;
    return 0;
}

void counters_asked(size_t endpoint)
{
    struct endpoint_cells *e = counters_endpoint_of(endpoint);
    if (counters_load(&e->asked_since) == 0)
        counters_store(&e->asked_since, (uint64_t)wall_ms());
}

void counters_request(size_t endpoint, size_t method, enum fault outcome, int64_t took_ms,
                      uint64_t bytes_out, uint64_t bytes_in)
{
    struct endpoint_cells *e = counters_endpoint_of(endpoint);
    if (method >= COUNTERS_METHODS || (size_t)outcome >= COUNTERS_OUTCOMES)
        return;
    uint64_t took = took_ms > 0 ? (uint64_t)took_ms : 0, before = counters_load(&e->latency_us);
    counters_increase(&e->requests[method][outcome], 1);
    counters_increase(&e->bytes_out, bytes_out);
    counters_increase(&e->bytes_in, bytes_in);
    bool silent = outcome == FAULT_DOWN || outcome == FAULT_TIME;
    if (!silent || counters_load(&e->failing_since) == 0)
        counters_store(&e->failing_since, silent ? (uint64_t)wall_ms() : 0);
    if (outcome != FAULT_NONE)
        return;
    counters_increase(&e->took_ms, took);
    counters_increase(&e->answers, 1);
    counters_store(&e->latency_us, counters_load(&e->answers) == 1
                                       ? took * 1000
                                       : (before * 15 + took * 1000) / 16);
    counters_store(&e->answered_at, (uint64_t)wall_ms());
    counters_store(&e->asked_since, 0);
    if (counters_load(&e->paused_until))
        counters_store(&e->paused_until, 0);
}

void counters_missed_logs(size_t endpoint, uint64_t n)
{
    counters_increase(&counters_endpoint_of(endpoint)->missed_logs, n);
}

void counters_second_look_alone(size_t endpoint)
{
    counters_increase(&counters_endpoint_of(endpoint)->looks_alone, 1);
}

static bool counters_layout_of(const struct layout_cells *c, struct counters_layout *ret)
{
    counters_text_get(&c->event, ret->event, sizeof ret->event);
    counters_text_get(&c->fits, ret->fits, sizeof ret->fits);
    ret->topics = counters_load(&c->topics);
    ret->data_bytes = counters_load(&c->data_bytes);
    ret->logs = counters_load(&c->logs);
    ret->lost = counters_load(&c->lost);
    return ret->event[0] != '\0';
}

bool counters_layout(const struct counters_layout *l)
{
    struct counters_layout known;
    for (size_t i = 0; i < COUNTERS_LAYOUTS; i++) {
        struct layout_cells *c = &mine->layouts[i];
        bool used = counters_layout_of(c, &known);
        if (used && (strcmp(known.event, l->event) != 0 || strcmp(known.fits, l->fits) != 0))
            continue;
        counters_store(&c->topics, l->topics);
        counters_store(&c->data_bytes, l->data_bytes);
        counters_increase(&c->logs, 1);
        counters_increase(&c->lost, l->lost);
        if (used)
            return false;
        counters_text_put(&c->fits, l->fits);
        counters_text_put(&c->event, l->event);
        return true;
    }
    return false;
}

void counters_misplaced(size_t endpoint)
{
    counters_increase(&counters_endpoint_of(endpoint)->misplaced, 1);
}

void counters_cost(size_t endpoint, uint64_t units)
{
    counters_increase(&counters_endpoint_of(endpoint)->cost, units);
}

const char *const counters_log_forms_names[COUNTERS_LOG_FORMS] = {"untried", "all", "by range",
                                                                  "by block hash", "none"};

void counters_endpoint_log_forms(size_t endpoint, size_t forms)
{
    counters_store(&counters_endpoint_of(endpoint)->log_forms, forms);
}

void counters_pushed(size_t endpoint, uint64_t bytes)
{
    struct endpoint_cells *e = counters_endpoint_of(endpoint);
    counters_increase(&e->pushes, 1);
    counters_increase(&e->pushed_bytes, bytes);
}

const char *const counters_pause_names[PAUSES] = {[PAUSE_TOLD] = "told to wait",
                                                  [PAUSE_SILENT] = "no answer",
                                                  [PAUSE_WRONG] = "wrong answer",
                                                  [PAUSE_LAGS] = "lags",
                                                  [PAUSE_FOREIGN] = "another chain"};

void counters_endpoint_pause(size_t endpoint, enum counters_pause why)
{
    counters_increase(&counters_endpoint_of(endpoint)->pauses[why], 1);
}

void counters_endpoint_paused(size_t endpoint, int64_t wall_ms_until, const char *why)
{
    struct endpoint_cells *e = counters_endpoint_of(endpoint);
    counters_store(&e->paused_until, (uint64_t)wall_ms_until);
    counters_text_put(&e->paused_why, why);
}

void counters_endpoint_reader(size_t endpoint, const char *reader, uint64_t batch, uint64_t gas)
{
    struct endpoint_cells *e = counters_endpoint_of(endpoint);
    char now[COUNTERS_TEXT];
    counters_text_get(&e->reader, now, sizeof now);
    if (strncmp(now, reader, sizeof now - 1) != 0)
        counters_text_put(&e->reader, reader);
    counters_store(&e->batch, batch);
    counters_store(&e->gas, gas);
}

void counters_checkpoint_held(const char *why)
{
    if (why)
        counters_text_put(&mine->held_why, why);
    if (!why || counters_load(&mine->held_since) == 0)
        counters_store(&mine->held_since, why ? (uint64_t)wall_ms() : 0);
}

uint64_t counters_checkpoint_held_since(char ret[COUNTERS_TEXT])
{
    const struct part *p = &page->parts[PART_FOLLOW];
    counters_text_get(&p->held_why, ret, COUNTERS_TEXT);
    return counters_load(&p->held_since);
}

void counters_owner_put(const char *text)
{
    counters_text_put(&page->owner, text);
}

void counters_owner_get(char ret[COUNTERS_OWNER])
{
    counters_text_get(&page->owner, ret, COUNTERS_OWNER);
}

void counters_call_failed(enum counters_call call, const char *words, int64_t began_ms)
{
    struct call_cells *c = &mine->calls[call];
    counters_text_put(&c->words, words);
    counters_increase(&c->times, 1);
    if (counters_load(&c->since) == 0)
        counters_store(&c->since, (uint64_t)began_ms);
}

void counters_call_succeeded(enum counters_call call)
{
    struct call_cells *c = &mine->calls[call];
    counters_store(&c->since, 0);
    counters_store(&c->times, 0);
}

void counters_call_show(enum counters_call call, const struct counters_failing *f)
{
    struct call_cells *c = &mine->calls[call];
    if (f->since > 0)
        counters_text_put(&c->words, f->words);
    counters_store(&c->times, f->times);
    counters_store(&c->since, f->since);
}

void counters_checkpoint_show(const struct counters_failing *f)
{
    if (f->since > 0)
        counters_text_put(&mine->held_why, f->words);
    counters_store(&mine->held_since, f->since);
}

void counters_role_set(enum counters_role role, const char *terms)
{
    char before[COUNTERS_TEXT];
    counters_text_get(&page->role_terms, before, sizeof before);
    if (strncmp(before, terms, sizeof before - 1) != 0)
        counters_text_put(&page->role_terms, terms);
    counters_store(&mine->cells[CELL_ROLE], (uint64_t)role);
}

void counters_role_terms(char ret[COUNTERS_TEXT])
{
    counters_text_get(&page->role_terms, ret, COUNTERS_TEXT);
}

bool counters_call_failing(enum counters_call call, struct counters_failing *ret)
{
    const struct call_cells *c = &page->parts[PART_SWEEP].calls[call];
    if (call != CALL_SWEEP || counters_load(&c->since) == 0)
        c = &page->parts[PART_FOLLOW].calls[call];
    ret->since = counters_load(&c->since);
    ret->times = counters_load(&c->times);
    counters_text_get(&c->words, ret->words, sizeof ret->words);
    return ret->since > 0;
}

/* ---- the page -------------------------------------------------------------------------------- */

/* The words of a failure come masked. */
static void counters_on_log(enum log_level level, const char *message, const char *error)
{
    char words[COUNTERS_TEXT];
    (void)level;
    snprintf(words, sizeof words, "%.100s%s%s", message, error ? ": " : "", error ? error : "");
    counters_text_put(&mine->trouble, words);
}

static struct page *counters_map_page(int fd)
{
    void *p = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

int counters_create(struct err *err)
{
    int fd = memfd_create("trueup-counters", MFD_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_FAILED, "memfd_create: %s", strerror(errno));
    struct page *p = ftruncate(fd, (off_t)sizeof *p) == 0 ? counters_map_page(fd) : NULL;
    if (!p) {
        err_set(err, ERR_FAILED, "counters cannot be shared: %s", strerror(errno));
        close(fd);
        return -1;
    }
    p->mark = PAGE_MARK;
    p->size = sizeof *p;
    counters_store(&p->started, (uint64_t)wall_seconds());
    page = p;
    mine = &p->parts[PART_SUPERVISOR];
    page_fd = fd;
    log_watch(counters_on_log);
    return 0;
}

int counters_fd(void)
{
    return page_fd;
}

/* The part of the worker of this name; NULL: it has none. */
static struct part *counters_part_of(const char *worker)
{
    for (int i = PART_FOLLOW; i < PARTS; i++)
        if (strcmp(worker, part_names[i]) == 0)
            return &page->parts[i];
    return NULL;
}

void counters_attach(const char *worker)
{
    struct part *part = counters_part_of(worker);
    struct stat st;
    if (!part)
        return;
    mine = part;
    log_watch(counters_on_log);
    if (fstat(COUNTERS_FD, &st) < 0 || st.st_size != (off_t)sizeof(struct page))
        return;
    struct page *p = counters_map_page(COUNTERS_FD);
    if (p && p->mark == PAGE_MARK && p->size == sizeof *p) {
        page = p;
        mine = counters_part_of(worker);
        page_fd = COUNTERS_FD;
        fcntl(COUNTERS_FD, F_SETFD, FD_CLOEXEC);
    } else if (p) {
        munmap(p, sizeof *p);
    }
}

bool counters_shared(void)
{
    return page != &private_page;
}

void counters_alive(int64_t until_ms)
{
    counters_store(&mine->alive_until, (uint64_t)until_ms);
}

char *counters_crash_report(void)
{
    return counters_shared() ? mine->crash_report : NULL;
}

int64_t counters_alive_of(const char *worker)
{
    const struct part *p = counters_part_of(worker);
    return p ? (int64_t)counters_load(&p->alive_until) : 0;
}

void counters_crash_report_of(const char *worker, char ret[COUNTERS_WORDS])
{
    const struct part *p = counters_part_of(worker);
    snprintf(ret, COUNTERS_WORDS, "%.*s", COUNTERS_WORDS - 1, p ? p->crash_report : "");
}

void counters_worker_starting(const char *name)
{
    struct part *p = counters_part_of(name);
    if (!p)
        return;
    p->crash_report[0] = '\0';
    counters_store(&p->alive_until, (uint64_t)clock_ms());
}

void counters_worker_started(size_t slot, const char *name, int pid)
{
    struct worker_cells *w = counters_worker_of(slot);
    if (counters_load(&w->started) == 0)
        counters_text_put(&w->name, name);
    counters_store(&w->started, (uint64_t)wall_seconds());
    counters_store(&w->pid, (uint64_t)pid);
}

void counters_worker_died(size_t slot, enum counters_death how, const char *words)
{
    struct worker_cells *w = counters_worker_of(slot);
    bool lived = (uint64_t)wall_seconds() >= counters_load(&w->started) + WELL_S;
    if (lived || counters_load(&w->dying_since) == 0) {
        counters_store(&w->dying_since, (uint64_t)wall_ms());
        counters_store(&w->dying_times, 0);
    }
    counters_increase(&w->dying_times, 1);
    counters_store(&w->pid, 0);
    counters_increase(&w->deaths[how], 1);
    counters_text_put(&w->exit_reason, words);
}

void counters_worker_stopped(size_t slot, bool gone)
{
    struct worker_cells *w = counters_worker_of(slot);
    counters_store(&w->pid, 0);
    if (gone) {
        counters_text_put(&w->name, "");
        counters_store(&w->started, 0);
    }
}

void counters_worker_parked(size_t slot, int64_t until_s)
{
    counters_store(&counters_worker_of(slot)->parked_until, (uint64_t)until_s);
}

/* ---- reading --------------------------------------------------------------------------------- */

uint64_t counters_get(enum counters_part p, enum cell c)
{
    return counters_load(&page->parts[p].cells[c]);
}

uint64_t counters_sum(enum cell c)
{
    uint64_t sum = 0;
    for (int p = 0; p < PARTS; p++)
        sum += counters_load(&page->parts[p].cells[c]);
    return sum;
}

void counters_lap_get(size_t balance, struct counters_lap_view *ret)
{
    *ret = (struct counters_lap_view){0};
    if (balance >= COUNTERS_BALANCES)
        return;
    const struct lap_cells *l = &page->parts[PART_SWEEP].laps[balance];
    *ret = (struct counters_lap_view){counters_load(&l->started), counters_load(&l->rows),
                                      counters_load(&l->laps)};
}

const char *counters_outcome_name(size_t outcome)
{
    return outcome == FAULT_NONE ? "ok" : fault_name((enum fault)outcome);
}

static void counters_add_endpoint(const struct endpoint_cells *e, struct counters_endpoint_view *v)
{
    char text[COUNTERS_TEXT];
    counters_text_get(&e->name, text, sizeof text);
    if (!text[0])
        return;
    snprintf(v->name, sizeof v->name, "%.79s", text);
    for (size_t m = 0; m < COUNTERS_METHODS; m++)
        for (size_t o = 0; o < COUNTERS_OUTCOMES; o++)
            v->requests[m][o] += counters_load(&e->requests[m][o]);
    v->bytes_in += counters_load(&e->bytes_in);
    v->bytes_out += counters_load(&e->bytes_out);
    v->cost += counters_load(&e->cost);
    v->pushes += counters_load(&e->pushes);
    if (counters_load(&e->log_forms) > 0 && counters_load(&e->log_forms) < COUNTERS_LOG_FORMS)
        v->log_forms = counters_load(&e->log_forms);
    v->pushed_bytes += counters_load(&e->pushed_bytes);
    v->missed_logs += counters_load(&e->missed_logs);
    v->misplaced += counters_load(&e->misplaced);
    v->looks_alone += counters_load(&e->looks_alone);
    for (int why = 0; why < PAUSES; why++)
        v->pauses[why] += counters_load(&e->pauses[why]);
    v->took_ms += counters_load(&e->took_ms);
    v->answers += counters_load(&e->answers);
    if (counters_load(&e->answered_at) > v->answered_at) {
        v->answered_at = counters_load(&e->answered_at);
        v->latency_us = counters_load(&e->latency_us);
    }
    if (counters_load(&e->paused_until) > v->paused_until) {
        v->paused_until = counters_load(&e->paused_until);
        counters_text_get(&e->paused_why, v->paused_why, sizeof v->paused_why);
    }
    uint64_t failing = counters_load(&e->failing_since);
    if (failing > 0 && (v->failing_since == 0 || failing < v->failing_since))
        v->failing_since = failing;
    counters_text_get(&e->reader, text, sizeof text);
    if (text[0] && counters_load(&e->batch) >= v->batch) {
        snprintf(v->reader, sizeof v->reader, "%s", text);
        v->batch = counters_load(&e->batch);
        v->gas = counters_load(&e->gas);
    }
}

bool counters_endpoint_get(size_t endpoint, struct counters_endpoint_view *ret)
{
    memset(ret, 0, sizeof *ret);
    if (endpoint >= COUNTERS_ENDPOINTS)
        return false;
    for (int p = 0; p < PARTS; p++)
        counters_add_endpoint(&page->parts[p].endpoints[endpoint], ret);
    /* One worker's pause does not outlive another's good answer. */
    if (ret->answered_at > ret->paused_until)
        ret->paused_until = 0;
    if (ret->answered_at > ret->failing_since)
        ret->failing_since = 0;
    /* A worker that still waits says little while another one is answered. */
    for (int p = 0; p < PARTS; p++) {
        uint64_t asked = counters_load(&page->parts[p].endpoints[endpoint].asked_since);
        if (asked > ret->answered_at && (ret->asked_since == 0 || asked < ret->asked_since))
            ret->asked_since = asked;
    }
    return ret->name[0] != '\0';
}

bool counters_endpoint_part(enum counters_part p, size_t endpoint,
                            struct counters_endpoint_view *ret)
{
    memset(ret, 0, sizeof *ret);
    if (endpoint < COUNTERS_ENDPOINTS)
        counters_add_endpoint(&page->parts[p].endpoints[endpoint], ret);
    return ret->name[0] != '\0';
}

bool counters_layout_get(size_t i, struct counters_layout *ret)
{
    return i < (size_t)COUNTERS_LAYOUTS * PARTS &&
           counters_layout_of(&page->parts[i / COUNTERS_LAYOUTS].layouts[i % COUNTERS_LAYOUTS],
                              ret);
}

bool counters_worker_get(size_t slot, struct counters_worker_view *ret)
{
    memset(ret, 0, sizeof *ret);
    if (slot >= COUNTERS_WORKERS)
        return false;
    const struct worker_cells *w = &page->workers[slot];
    counters_text_get(&w->name, ret->name, sizeof ret->name);
    ret->pid = (int)counters_load(&w->pid);
    ret->started = counters_load(&w->started);
    ret->parked_until = counters_load(&w->parked_until);
    bool well = ret->pid > 0 && (uint64_t)wall_seconds() >= ret->started + WELL_S;
    ret->dying_since = well ? 0 : counters_load(&w->dying_since);
    ret->dying_times = well ? 0 : counters_load(&w->dying_times);
    for (int i = 0; i < DEATHS; i++)
        ret->deaths[i] = counters_load(&w->deaths[i]);
    counters_text_get(&w->exit_reason, ret->exit_reason, sizeof ret->exit_reason);
    const struct part *p = counters_part_of(ret->name);
    if (p)
        ret->trouble_at = counters_text_get(&p->trouble, ret->trouble, sizeof ret->trouble);
    return ret->name[0] != '\0';
}

uint64_t counters_started(void)
{
    return counters_load(&page->started);
}
