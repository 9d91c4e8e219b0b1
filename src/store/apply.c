/* What both databases share of a batch: its checks, and a batch that is a checkpoint only. */
#include "store/parts.h"

#include <inttypes.h>

/* What would deadlock two writers or vouch for what was not read is the caller's mistake. */
static int apply_check_batch(const struct store_batch *b, struct err *err)
{
    char text[ADDRESS_TEXT];
    if (b->n_writes > STORE_BATCH_MAX || b->n_failures > STORE_BATCH_MAX ||
        b->n_dirty > STORE_BATCH_MAX)
        return err_set(err, ERR_TOO_LARGE, "a batch of more than %d wallets", STORE_BATCH_MAX);
    for (size_t i = 0; i < b->n_writes; i++) {
        const struct store_write *w = &b->writes[i];
        address_text(&w->wallet, text);
        if (i > 0 && address_compare(&w[-1].wallet, &w->wallet) >= 0)
            return err_set(err, ERR_FAILED, "wallets of a batch are not sorted and unique at %s",
                           text);
        if (w->has_event && w->event_block > b->at.number)
            return err_set(err, ERR_FAILED,
                           "%s read at block %" PRIu64 " cannot answer an event at block %" PRIu64,
                           text, b->at.number, w->event_block);
    }
    for (size_t i = 0, j = 0; i < b->n_failures; i++) {
        const address *wallet = &b->failures[i].wallet;
        address_text(wallet, text);
        if (i > 0 && address_compare(&b->failures[i - 1].wallet, wallet) >= 0)
            return err_set(err, ERR_FAILED, "failures of a batch are not sorted and unique at %s",
                           text);
        while (j < b->n_writes && address_compare(&b->writes[j].wallet, wallet) < 0)
            j++;
        if (j < b->n_writes && address_equal(&b->writes[j].wallet, wallet))
            return err_set(err, ERR_FAILED, "%s is both read and failed in a batch", text);
    }
    return 0;
}

int store_apply(struct store *s, const struct store_batch *batch, struct arena *arena,
                struct store_applied *ret, struct err *err)
{
    if (apply_check_batch(batch, err) != 0)
        return -1;
    return parts_apply(s, batch, arena, ret, err);
}

int store_checkpoint_advance(struct store *s, const struct store_balance *b,
                             const struct anchor *at, bool *ret_anchor_gone, struct err *err)
{
    struct store_batch batch = {.balance = b,
                                .cause = CAUSE_EVENT,
                                .at = *at,
                                .has_checkpoint = true,
                                .checkpoint = at->number};
    struct store_applied applied;
    struct arena arena;
    arena_init(&arena);
    int rc = store_apply(s, &batch, &arena, &applied, err);
    if (rc == 0)
        *ret_anchor_gone = applied.anchor_gone;
    arena_free(&arena);
    return rc;
}
