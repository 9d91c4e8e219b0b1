#include "cli/services.h"
#include "base/parse.h"
#include "proc/child.h"

#include <stdlib.h>
#include <string.h>

/* A worker that crashes at once spends its ten tries in half a minute. A minute of silence is more
 * than any statement or request of ours may take; on a machine where it is not, say otherwise. */
enum { PARK_AFTER = 10, PARK_WITHIN_MS = 300000, PARKED_MS = 60000, HUNG_AFTER_MS = 60000 };
enum { WELL_AFTER_MS = 60000 };

/* For tests, and for machines slower than any we know (docs/faults.md). */
static int64_t from_environment(const char *name, int64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t n;
    return text && parse_u64(text, strlen(text), &n) && n <= INT32_MAX ? (int64_t)n : otherwise;
}

static struct service_limits services_set_limits(void)
{
    return (struct service_limits){
        .deaths = (size_t)from_environment("TRUEUP_PARK_AFTER", PARK_AFTER),
        .within_ms = PARK_WITHIN_MS,
        .parked_ms = PARKED_MS,
        .patience_ms = from_environment("TRUEUP_HUNG_AFTER_MS", HUNG_AFTER_MS),
        .well_ms = WELL_AFTER_MS};
}

size_t services_count_sockets(const struct conf *conf)
{
    size_t n = 0;
    for (size_t i = 0; i < conf->chain.n_endpoints; i++)
        n += conf->chain.endpoints[i].ws != NULL;
    return n;
}

void services_choose(const struct conf *conf, const char *from, struct service ret[SERVICES])
{
    const bool configured = conf->chain.n_endpoints > 0;
    const struct {
        const char *name;
        enum conf_for who;
        bool wanted;
    } kinds[SERVICES] = {{"follow", CONF_FOR_FOLLOW, configured},
                         {"sweep", CONF_FOR_SWEEP, configured},
                         {"listen", CONF_FOR_LISTEN, services_count_sockets(conf) > 0},
                         {"web", CONF_FOR_WEB, conf->http.listen != NULL}};
    for (size_t i = 0; i < SERVICES; i++) {
        struct service *s = &ret[i];
        *s = (struct service){.name = kinds[i].name, .limits = services_set_limits()};
        buf_init(&s->settings, CHILD_TEXT_MAX);
        if (kinds[i].wanted && kinds[i].who == CONF_FOR_FOLLOW && from)
            buf_addf(&s->settings, "# from %s\n", from);
        if (kinds[i].wanted)
            conf_write(conf, kinds[i].who, &s->settings);
    }
}

void services_free(struct service services[SERVICES])
{
    for (size_t i = 0; i < SERVICES; i++)
        buf_free(&services[i].settings);
}
