/*
 * Samples: the heads of looks, the only headers that following stores. A sample is stored before
 * anything is read at it. The blocks between two samples need no header.
 *
 * A new head becomes a sample when its chain holds the sample before: the head is its child, or an
 * execution at the head gives the sample's hash as BLOCKHASH, or parents lead to it hash by hash. A
 * head that does not link takes back the samples that its chain does not hold. One endpoint's word
 * about another endpoint's sample takes back nothing.
 */
#ifndef TRACK_SYNC_SAMPLE_H
#define TRACK_SYNC_SAMPLE_H

#include "eth/block.h"
#include "rpc/rpc.h"
#include "track/sync/finality.h"
#include "track/tracker.h"

enum {
    SAMPLE_NEAR = 64,         /* samples in memory, with their blooms */
    SAMPLE_REACH = 256,       /* the EVM knows the hashes of so many blocks */
    SAMPLE_WALK = 1024,       /* further from the sample before, its number is enough */
    SAMPLE_KEEP = 1024,       /* samples kept below finality, and those of … */
    SAMPLE_KEEP_S = 3600,     /* … so many seconds below it */
    SAMPLE_UNABLE = 3,        /* heads in a row without a usable BLOCKHASH: parents are asked */
    SAMPLE_BEHIND_MS = 20000, /* an endpoint behind its own sample for longer was cut back */
    SAMPLE_PREFER_MS = 60000, /* the newest sample's endpoint is asked while others deny it */
    SAMPLE_ODD_MS = 5000,     /* after a head that no look could use another endpoint is asked */
    SAMPLE_FINAL_MS = 5000,   /* a final block is taken back by looks that far apart */
    SAMPLE_NUMBER_MS = 10000, /* where no parent leads to the sample, its number does after that */
};

struct samples {
    bool known; /* a head has been seen */
    struct header head;
    struct endpoint *by;     /* gave the newest sample; NULL after a restart */
    struct endpoint *asked;  /* gave the head at hand */
    int64_t prefer_until_ms; /* monotonic: `by` is asked until then */
    int64_t by_failed_ms;    /* when it did not answer last */
    struct endpoint *odd;    /* gave the last head that could not be linked; NULL: none did */
    int64_t odd_ms;          /* so long another endpoint is asked … */
    int64_t odd_until_ms;    /* … monotonic */
    struct finality finality;
    struct header near[SAMPLE_NEAR]; /* the newest samples, oldest first */
    size_t n_near;
    unsigned unable;            /* heads in a row whose BLOCKHASH was of no use */
    int64_t behind_since_ms;    /* monotonic, of its last rise; 0 when the node is not behind us */
    uint64_t behind_at;         /* the highest head it had meanwhile */
    struct endpoint *denied_by; /* its head did not link at the last look, and `by` was silent */
    int64_t unlinked_ms;        /* no parent leads to the newest sample since then; 0: one does */
    int64_t final_denied_ms;    /* a final block is denied since then; 0: it is not */
};

/* What a head means for the samples. */
struct sample_news {
    enum sample_what {
        SAMPLE_SAME,   /* nothing new */
        SAMPLE_GREW,   /* the head is stored and linked */
        SAMPLE_BEHIND, /* no look: the endpoint is behind, or denies another's sample */
        SAMPLE_BROKE,  /* blocks from first_bad on are no longer the chain's */
    } what;
    uint64_t first_bad;
    bool none_links; /* no stored sample is on the chain: every row is due */
};

/* The newest head, of s->asked. */
int sample_ask_head(struct tracker *t, struct samples *s, struct header *ret, struct err *err);
/* Will another endpoint be asked for its head, so that there is no need to wait? */
bool sample_has_other(const struct samples *s);
/* Links the head to what is stored. With SAMPLE_BROKE nothing is changed: the caller rewinds, and
 * asks again. ERR_CHAIN: every endpoint that answers is on another chain. */
int sample_link(struct tracker *t, struct samples *s, const struct header *head,
                struct sample_news *ret, struct err *err);
/* `final` is said to be final. Is the newest sample at or below it on the chain? If not, *ret says
 * which blocks are gone. */
int sample_check_final(struct tracker *t, struct samples *s, const struct anchor *final,
                       struct sample_news *ret, struct err *err);
/* Samples from first_bad on are gone. */
void sample_rewind(struct samples *s, uint64_t first_bad);

/* The sample at a number with its bloom, or NULL. */
const struct header *sample_near(const struct samples *s, uint64_t number);
/* The newest stored sample at or below number; *ret_found false if there is none. */
int sample_find_below(struct tracker *t, uint64_t number, struct anchor *ret, bool *ret_found,
                      struct err *err);

#endif
