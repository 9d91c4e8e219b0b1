#include "track/event_layouts.h"
#include "base/log.h"
#include "proc/counters.h"

#include <stdio.h>

static void event_layouts_log(const struct conf_trigger *trigger, const struct event_log *log,
                              const char *declared, const char *fits, bool lost)
{
    char contract[ADDRESS_TEXT], hint[EVENT_TEXT + 64];
    address_text(&trigger->contract, contract);
    if (fits[0])
        snprintf(hint, sizeof hint, "declare it as \"%s\"", fits);
    else
        snprintf(hint, sizeof hint, "compare the declaration with the contract's source");
    log_warn(lost ? "logs of an event do not fit its declaration, wallets may be missed"
                  : "logs of an event do not fit its declaration, their wallets are read",
             LOG_STR("contract", contract), LOG_STR("declared", declared),
             LOG_U64("topics", (uint64_t)log->n_topics), LOG_U64("data_bytes", log->data_len),
             LOG_U64("block", log->block), LOG_STR("hint", hint));
}

void event_layouts_report(const struct conf_trigger *trigger, const struct event_log *log,
                          const struct event_layout *layout, bool lost)
{
    char declared[EVENT_TEXT], fits[EVENT_TEXT] = "", contract[ADDRESS_TEXT];
    struct counters_layout l = {
        .topics = (uint64_t)log->n_topics, .data_bytes = log->data_len, .lost = lost};
    address_text(&trigger->contract, contract);
    event_declaration(&trigger->event, event_indexed(&trigger->event), declared);
    if (layout->fit == EVENT_AS_OTHER)
        event_declaration(&trigger->event, layout->indexed, fits);
    snprintf(l.event, sizeof l.event, "%s %.*s", contract, COUNTERS_TEXT - ADDRESS_TEXT - 1,
             declared);
    snprintf(l.fits, sizeof l.fits, "%.*s", COUNTERS_TEXT - 1, fits);
    counters_add((enum cell)(CELL_LOGS_IGNORED + LOGS_LAYOUT), 1);
    if (counters_layout(&l))
        event_layouts_log(trigger, log, declared, fits, lost);
}
