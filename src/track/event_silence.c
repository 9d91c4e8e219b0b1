#include "track/event_silence.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/parse.h"
#include "conf/settings.h"
#include "rpc/logs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NEAR_EDITS = 2, KNOWN_MOST = 40 };

/* Events that tokens and staking contracts are known to emit, as they declare them. */
static const char *const known_events[] = {
    "Transfer(address indexed from, address indexed to, uint256 value)",
    "Approval(address indexed owner, address indexed spender, uint256 value)",
    "TransferSingle(address indexed operator, address indexed from, address indexed to, uint256 "
    "id, "
    "uint256 value)",
    "TransferBatch(address indexed operator, address indexed from, address indexed to, uint256[] "
    "ids, uint256[] values)",
    "Deposit(address indexed dst, uint256 wad)",
    "Withdrawal(address indexed src, uint256 wad)",
    "Deposit(address indexed sender, address indexed owner, uint256 assets, uint256 shares)",
    "Withdraw(address indexed sender, address indexed receiver, address indexed owner, uint256 "
    "assets, uint256 shares)",
    "Mint(address indexed to, uint256 amount)",
    "Burn(address indexed from, uint256 amount)",
    "Staked(address indexed user, uint256 amount, uint256 total)",
    "Unstaked(address indexed user, uint256 amount, uint256 total)",
    "Slashed(address indexed user, uint256 amount, uint256 total)",
    "Staked(address indexed user, uint256 amount)",
    "Unstaked(address indexed user, uint256 amount)",
    "Withdrawn(address indexed user, uint256 amount)",
    "RewardPaid(address indexed user, uint256 reward)",
    "Claim(address indexed claimer, uint256 indexed rewards, uint256 indexed newTotal)",
    "Claimed(address indexed user, uint256 amount)",
    "Slash(address indexed target, uint256 indexed amount, uint256 indexed newTotal)",
    "IncreaseDelegatedStake(address indexed delegator, address indexed serviceProvider, uint256 "
    "indexed amount)",
    "UndelegateStakeRequestEvaluated(address indexed delegator, address indexed serviceProvider, "
    "uint256 indexed amount)",
    "DelegateChanged(address indexed delegator, address indexed fromDelegate, address indexed "
    "toDelegate)",
    "DelegateVotesChanged(address indexed delegate, uint256 previousBalance, uint256 newBalance)",
    "Upgraded(address indexed implementation)",
};

/* One question: the contracts of a balance, its events and the known ones. */
struct silence_question {
    address contracts[SILENCE_TRIGGERS];
    hash32 topics[SILENCE_TRIGGERS + KNOWN_MOST];
    struct signature known[KNOWN_MOST];
    size_t n_known;
    struct log_filter filter;
};

static void silence_add_contract(struct silence_question *q, const address *a)
{
    for (size_t i = 0; i < q->filter.n_contracts; i++)
        if (address_equal(&q->contracts[i], a))
            return;
    q->contracts[q->filter.n_contracts++] = *a;
}

static void silence_make_question(struct silence_question *q, const struct conf_balance *b)
{
    *q = (struct silence_question){.filter = {.contracts = q->contracts, .topics = q->topics}};
    for (size_t i = 0; i < COUNT_OF(known_events) && q->n_known < KNOWN_MOST; i++)
        if (event_parse(known_events[i], strlen(known_events[i]), &q->known[q->n_known], NULL) == 0)
            q->topics[q->filter.n_topics++] = q->known[q->n_known++].hash;
    for (size_t i = 0; i < b->n_triggers && i < SILENCE_TRIGGERS; i++) {
        silence_add_contract(q, &b->triggers[i].contract);
        q->topics[q->filter.n_topics++] = b->triggers[i].event.hash;
    }
}

/* A node may bear only a narrow range of a busy contract. *ret_n: blocks that were asked about. */
static int silence_ask(struct tracker *t, const struct silence_question *q, uint64_t head,
                       struct arena *arena, struct logs *ret, uint64_t *ret_n, struct err *err)
{
    static const uint64_t widths[] = {100, 10};
    for (size_t i = 0; i < COUNT_OF(widths); i++) {
        uint64_t from = head + 1 > widths[i] ? head + 1 - widths[i] : 0;
        struct logs_ask ask = {
            .filter = &q->filter, .from = from, .to = head, .lane = RPC_CATCHUP, .arena = arena};
        *ret_n = head + 1 - from;
        if (rpc_logs_range(t->node, &ask, ret, err) == 0)
            return 0;
    }
    return -1;
}

static bool silence_is_emitted(const struct logs *logs, const address *contract,
                               const struct signature *event)
{
    for (size_t i = 0; i < logs->n; i++)
        if (event_matches(&logs->list[i], contract, event))
            return true;
    return false;
}

static bool silence_is_declared(const struct conf_balance *b, const address *contract,
                                const struct signature *event)
{
    for (size_t i = 0; i < b->n_triggers; i++)
        if (address_equal(&b->triggers[i].contract, contract) &&
            hash_equal(&b->triggers[i].event.hash, &event->hash))
            return true;
    return false;
}

/* What was meant: an event of nearly this name, best one that the contract emits. */
static const struct signature *silence_find_meant(const struct silence_question *q,
                                                  const struct conf_balance *b,
                                                  const struct conf_trigger *trigger,
                                                  const struct logs *logs, bool *ret_emitted)
{
    const struct signature *meant = NULL;
    size_t least = NEAR_EDITS + 1;
    *ret_emitted = false;
    for (size_t i = 0; i < q->n_known; i++) {
        const struct signature *k = &q->known[i];
        size_t d = edit_distance(trigger->event.name, k->name, NEAR_EDITS);
        bool emitted = silence_is_emitted(logs, &trigger->contract, k);
        if (d > NEAR_EDITS || d >= strlen(k->name) ||
            silence_is_declared(b, &trigger->contract, k) ||
            (emitted == *ret_emitted ? d >= least : !emitted))
            continue;
        meant = k;
        least = d;
        *ret_emitted = emitted;
    }
    return meant;
}

static bool silence_is_known(const struct silence_question *q, const struct signature *event)
{
    for (size_t i = 0; i < q->n_known; i++)
        if (hash_equal(&q->known[i].hash, &event->hash))
            return true;
    return false;
}

/* False where nothing else may be meant: then it is one of the others. */
static bool silence_add_doubt(struct event_silence *s, const struct silence_question *q,
                              const struct conf_balance *b, size_t i, const struct logs *logs)
{
    const struct conf_trigger *trigger = &b->triggers[i];
    bool emitted;
    const struct signature *meant = silence_find_meant(q, b, trigger, logs, &emitted);
    char contract[ADDRESS_TEXT], declared[EVENT_TEXT];
    if (!meant || (!emitted && silence_is_known(q, &trigger->event)))
        return false;
    address_checksum(&trigger->contract, contract);
    event_declaration(meant, event_indexed(meant), declared);
    s->list[s->n].triggers = 1u << i;
    s->list[s->n].doubted = emitted;
    snprintf(s->list[s->n].text, SILENCE_TEXT,
             "no event %.120s of %s was seen in the last %" PRIu64 " blocks; %s%.240s%s",
             trigger->event.canonical, contract, s->blocks,
             emitted ? "the contract emits " : "is it ", declared, emitted ? ": is it that?" : "?");
    s->n++;
    return true;
}

/* The others in one sentence; a finding where nothing of the balance was seen. */
static void silence_add_others(struct event_silence *s, const struct conf_balance *b,
                               uint32_t others, bool all)
{
    struct buf names = BUF_INIT(400);
    for (size_t i = 0; i < b->n_triggers && i < SILENCE_TRIGGERS; i++)
        if (others >> i & 1)
            buf_addf(&names, "%s%s", names.len ? ", " : "", b->triggers[i].event.name);
    char *text = all ? s->list[s->n].text : s->rare;
    if (others)
        snprintf(text, SILENCE_TEXT,
                 "no event of %s was seen in the last %" PRIu64 " blocks: %.390s",
                 all ? "any trigger" : "these triggers", s->blocks, buf_str(&names));
    if (others && all)
        s->list[s->n++].triggers = others;
    buf_free(&names);
}

static void silence_judge(struct event_silence *s, const struct silence_question *q,
                          const struct conf_balance *b, const struct logs *logs)
{
    uint32_t others = 0;
    bool any = false;
    for (size_t i = 0; i < b->n_triggers && i < SILENCE_TRIGGERS; i++) {
        bool seen = silence_is_emitted(logs, &b->triggers[i].contract, &b->triggers[i].event);
        any |= seen;
        if (!seen && !silence_add_doubt(s, q, b, i, logs))
            others |= 1u << i;
    }
    if (s->n < SILENCE_TRIGGERS)
        silence_add_others(s, b, others, !any && s->n == 0);
}

int event_silence_find(struct tracker *t, const struct tracked *b, uint64_t head,
                       struct event_silence *ret, struct err *err)
{
    struct silence_question *q = mem_zero(1, sizeof *q);
    struct arena arena;
    struct logs logs = {0};
    arena_init(&arena);
    *ret = (struct event_silence){0};
    silence_make_question(q, b->conf);
    int rc =
        b->conf->n_triggers > 0 ? silence_ask(t, q, head, &arena, &logs, &ret->blocks, err) : 0;
    if (rc == 0)
        silence_judge(ret, q, b->conf, &logs);
    arena_free(&arena);
    mem_free(q);
    return rc;
}

/* ---- what a start found ---------------------------------------------------------------------- */

enum { KEY_TEXT = 128 };

static void silence_make_key(const struct tracked *b, char ret[KEY_TEXT])
{
    snprintf(ret, KEY_TEXT, "silent:%.100s", b->conf->name);
}

int event_silence_save(struct tracker *t, const struct tracked *b, const struct event_silence *s,
                       struct err *err)
{
    char key[KEY_TEXT];
    struct buf text = BUF_INIT(STORE_STATE_MAX);
    silence_make_key(b, key);
    for (size_t i = 0; i < s->n; i++)
        buf_addf(&text, "%" PRIu32 " %c %s\n", s->list[i].triggers, s->list[i].doubted ? '?' : '-',
                 s->list[i].text);
    int rc = store_state_set(t->store, key, text.overflow ? "" : buf_str(&text), err);
    buf_free(&text);
    return rc;
}

/* The triggers of a line, and where the next line begins. */
static bool silence_next_line(const char **at, const char **ret_line, size_t *ret_n,
                              uint64_t *ret_triggers)
{
    if (!**at)
        return false;
    *ret_line = *at;
    *ret_n = strcspn(*at, "\n");
    *ret_triggers = 0;
    parse_u64(*at, strspn(*at, "0123456789"), ret_triggers);
    *at += *ret_n + ((*at)[*ret_n] == '\n');
    return true;
}

int event_silence_load(struct tracker *t, const struct tracked *b, uint32_t *ret, struct err *err)
{
    char key[KEY_TEXT];
    const char *text, *line;
    size_t n;
    uint64_t triggers;
    struct arena arena;
    arena_init(&arena);
    silence_make_key(b, key);
    int rc = store_state_get(t->store, key, &arena, &text, err);
    *ret = 0;
    for (const char *at = rc == 0 && text ? text : "";
         silence_next_line(&at, &line, &n, &triggers);)
        *ret |= (uint32_t)triggers;
    arena_free(&arena);
    return rc;
}

int event_silence_drop(struct tracker *t, const struct tracked *b, uint32_t seen, struct err *err)
{
    char key[KEY_TEXT];
    const char *text, *line;
    size_t n;
    uint64_t triggers;
    struct arena arena;
    struct buf left = BUF_INIT(STORE_STATE_MAX);
    arena_init(&arena);
    silence_make_key(b, key);
    int rc = store_state_get(t->store, key, &arena, &text, err);
    for (const char *at = rc == 0 && text ? text : "";
         silence_next_line(&at, &line, &n, &triggers);)
        if (!(seen & (uint32_t)triggers))
            buf_addf(&left, "%.*s\n", (int)n, line);
    if (rc == 0 && text)
        rc = store_state_set(t->store, key, buf_str(&left), err);
    buf_free(&left);
    arena_free(&arena);
    return rc;
}
