/*
 * Can the table be trusted, and if not, why? One place decides it, in words, for /readyz, /freshz,
 * /eth/health, the status and the page.
 */
#ifndef WEB_HEALTH_H
#define WEB_HEALTH_H

#include "proc/counters.h"
#include "web/facts.h"

enum { REASONS = 32, REASON_TEXT = 512 };

enum colour { GREEN, AMBER, RED };

struct reasons {
    size_t n;
    struct {
        enum colour colour;
        char text[REASON_TEXT];
    } list[REASONS];
};

/* Left out when there are REASONS already. */
void reasons_add(struct reasons *r, enum colour colour, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The number of those that stand against it: the others are only to be known. */
size_t reasons_against(const struct reasons *r);

/* Everything known at one moment. */
struct health {
    struct facts facts;
    bool has_daemon; /* the counters are a daemon's: else only the store speaks */
    bool standby;    /* another daemon writes: its facts stand in the counters of follow */
    bool configured; /* there are endpoints */
    bool connected;  /* an endpoint answers */
    bool subscribed; /* the WebSocket is up; where none is configured, as connected */
    char disconnected[REASON_TEXT]; /* why not */
    uint64_t head, head_time, synced, finalized;
    int64_t now_ms;     /* wall */
    int64_t max_age_ms; /* sweep.max_age, 0: off */
};

void health_take(struct health *h, struct facts_store *k, bool has_daemon);

/* "writer" or "standby"; NULL: no daemon. */
const char *health_role(const struct health *h);

bool endpoint_is_up(const struct counters_endpoint_view *e, const struct health *h);
/* "answers", "set aside" (it answers, but not as it should) or "does not answer". */
const char *endpoint_words(const struct counters_endpoint_view *e, const struct health *h);

/* It answers, and did so just now. */
bool health_store_up(const struct health *h);

/* Parts of health_ready(). */
void health_store(const struct health *h, struct reasons *ret);
void health_following(const struct health *h, struct reasons *ret);

/* Each adds what stands against it; nothing added means yes. */
void health_ready(const struct health *h, struct reasons *ret);
void health_fresh(const struct health *h, struct reasons *ret);

/* The whole: the worst colour, and all reasons, worst first. */
enum colour health_verdict(const struct health *h, struct reasons *ret);
/* What should be known, and is no reason to distrust a row that is not named in it. */
void health_notes(const struct health *h, struct reasons *ret);
const char *colour_name(enum colour c);
/* The verdict as one sentence for a person: with the evidence when it is good. */
void health_sentence(const struct health *h, enum colour c, char ret[REASON_TEXT]);

#endif
