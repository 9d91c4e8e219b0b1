/* What of an endpoint's answers follows from a block's hash (read/prove.h): headers, receipts and
 * state, tried on the newest blocks. */
#include "base/clock.h"
#include "cli/doctor.h"
#include "proc/stop.h"
#include "read/prove.h"
#include "rpc/price.h"

#include <inttypes.h>
#include <string.h>

enum {
    PROOF_BLOCKS = 3,  /* with logs: an empty block's receipts have the root of nothing */
    PROOF_NEWEST = 32, /* blocks among which they are looked for */
    PROOF_STATE_BACK = 64,
    PROOF_MS = 10 * 1000,
};

struct proof_count {
    size_t n, outcomes[PROVE_CANNOT + 1];
    struct err why; /* of the last one that is not proven */
};

struct proof_found {
    struct proof_count headers, receipts;
    bool left_out_sync;
};

static struct prove_ask proof_ask(const struct patient *p)
{
    return (struct prove_ask){
        .rpc = p->t.node, .endpoint = p->endpoint, .deadline_ms = clock_ms() + PROOF_MS};
}

static void proof_count(struct proof_count *c, enum prove_outcome outcome, const struct err *why)
{
    c->n++;
    c->outcomes[outcome]++;
    if (outcome != PROVE_PROVEN)
        c->why = *why;
}

static bool proof_holds_no_log(const struct full_header *h)
{
    static const struct bloom none;
    return memcmp(&h->logs, &none, sizeof none) == 0;
}

static void proof_try_block(struct patient *p, uint64_t number, struct proof_found *found)
{
    struct prove_ask ask = proof_ask(p);
    struct prove_receipts r = {0};
    struct full_header h;
    struct err why = {0};
    enum prove_outcome outcome = prove_header(&ask, number, &h, &why);
    proof_count(&found->headers, outcome, &why);
    if (outcome != PROVE_PROVEN || proof_holds_no_log(&h))
        return;
    proof_count(&found->receipts, prove_receipts(&ask, &h, &r, &why), &why);
    found->left_out_sync |= r.left_out_sync;
}

static void proof_try_blocks(struct patient *p, struct proof_found *found)
{
    uint64_t head = p->head.at.number;
    for (uint64_t i = 0; i < PROOF_NEWEST && i <= head && !stop_asked(); i++) {
        bool enough = found->receipts.n == PROOF_BLOCKS ||
                      found->headers.n - found->headers.outcomes[PROVE_PROVEN] == PROOF_BLOCKS;
        if (enough)
            return;
        proof_try_block(p, head - i, found);
    }
}

/* ---- saying it ------------------------------------------------------------------------------- */

/* What is not proven: of all blocks for want of an answer, of all of them, or of some of them. */
static void proof_say_unproven(struct findings *f, const struct patient *p, const char *what,
                               const struct proof_count *c)
{
    size_t proven = c->outcomes[PROVE_PROVEN];
    if (c->outcomes[PROVE_FOREIGN] == 0) {
        doctor_say(f, NOTE, "%s cannot be proven (%zu of %zu blocks): %s", what, proven, c->n,
                   c->why.text);
    } else if (proven == 0) {
        doctor_say(f, NOTE, "%s do not prove themselves (0 of %zu blocks): %s", what, c->n,
                   c->why.text);
    } else {
        doctor_say(f, BAD, "%s do not always prove themselves (%zu of %zu blocks): %s", what,
                   proven, c->n, c->why.text);
        doctor_advise(f,
                      "%s: its answers do not follow from its block hashes; put another "
                      "endpoint first",
                      p->name);
    }
}

static void proof_say_headers(struct findings *f, const struct patient *p,
                              const struct proof_count *c)
{
    if (c->outcomes[PROVE_PROVEN] == c->n)
        doctor_say(f, FINE, "headers prove themselves (%zu of %zu blocks)", c->n, c->n);
    else
        proof_say_unproven(f, p, "headers", c);
}

static void proof_say_receipts(struct findings *f, const struct patient *p,
                               const struct proof_found *found, const struct conf_endpoint *e)
{
    const struct proof_count *c = &found->receipts;
    if (c->n == 0)
        doctor_say(f, NOTE,
                   "receipts: untried, none of the last %zu blocks is proven and holds a "
                   "log",
                   found->headers.n);
    else if (c->outcomes[PROVE_PROVEN] == c->n)
        doctor_say(f, FINE,
                   "receipts prove themselves (%zu of %zu blocks%s, price %" PRIu64
                   ", eth_getLogs %" PRIu64 ")",
                   c->n, c->n, found->left_out_sync ? " without their state sync" : "",
                   price_of(e, "eth_getBlockReceipts"), price_of(e, "eth_getLogs"));
    else
        proof_say_unproven(f, p, "receipts", c);
}

/* Not the genesis block: a development chain's names no root of its state. */
static uint64_t proof_choose_back(uint64_t head)
{
    return head > PROOF_STATE_BACK ? PROOF_STATE_BACK : head > 0 ? head - 1 : 0;
}

static void proof_try_state(struct findings *f, struct patient *p)
{
    struct prove_ask ask = proof_ask(p);
    struct full_header h;
    struct err why = {0};
    uint64_t head = p->head.at.number, back = proof_choose_back(head);
    const address *contract = &p->t.balances[0].conf->terms[0].contract;
    enum prove_outcome outcome = prove_header(&ask, head - back, &h, &why);
    if (outcome == PROVE_PROVEN)
        outcome = prove_state(&ask, &h, contract, &why);
    if (outcome == PROVE_PROVEN)
        doctor_say(f, FINE, "state proves itself at %" PRIu64 " back", back);
    else
        doctor_say(f, NOTE, "state %s at %" PRIu64 " back: %s",
                   outcome == PROVE_FOREIGN ? "does not prove itself" : "cannot be proven", back,
                   why.text);
}

void doctor_proof(struct findings *f, struct patient *p, const struct conf_endpoint *e)
{
    struct proof_found found = {0};
    proof_try_blocks(p, &found);
    proof_say_headers(f, p, &found.headers);
    if (found.headers.outcomes[PROVE_PROVEN] == 0)
        return;
    proof_say_receipts(f, p, &found, e);
    proof_try_state(f, p);
}
