#include "track/sync/range.h"
#include "eth/fault_policy.h"

enum {
    MANY_LOGS = 8000, /* below the 10,000 where most providers cut */
    FEW_LOGS = 2000,  /* room to grow */
    GIVE_UP_AFTER = 12,
};

void range_init(struct range *r)
{
    *r = (struct range){.width = RANGE_FIRST, .ceiling = RANGE_MOST};
}

static uint64_t range_get_min(uint64_t v, uint64_t limit)
{
    return v < limit ? v : limit;
}

static void range_halve_width(struct range *r, uint64_t width)
{
    r->width = range_get_min(r->width, width / 2);
}

void range_on_answer(struct range *r, uint64_t width, size_t n_logs)
{
    r->ill_in_row = 0;
    if (n_logs > MANY_LOGS) {
        uint64_t fitting = width / (n_logs / (MANY_LOGS / 2));
        r->width = range_get_min(r->width, fitting);
        return;
    }
    if (width < r->width || n_logs > FEW_LOGS)
        return; /* a shorter last window says nothing */
    uint64_t next = r->width * 2 + 1;
    if (r->too_wide && next >= r->too_wide)
        next = r->width + (r->too_wide - r->width) / 2;
    if (r->too_wide && next - r->width < r->width / 16 + 1)
        next = r->width; /* near enough to what was refused */
    r->width = range_get_min(next, r->ceiling);
}

/* The server named a window that would work. Its place is not trusted (some are inverted, or lie
 * elsewhere); its width is, when it is narrower than what was asked. */
static void range_take_suggestion(struct range *r, uint64_t width, const struct fault_info *f)
{
    if (f->has_window && f->from <= f->to && f->to - f->from < width)
        r->width = range_get_min(r->width, f->to - f->from);
    else
        range_halve_width(r, width);
}

static void range_take_ceiling(struct range *r, uint64_t width, const struct fault_info *f)
{
    if (f->limit > 0 && f->limit < width) {
        r->ceiling = range_get_min(r->ceiling, f->limit);
        r->width = range_get_min(r->width, r->ceiling);
        return;
    }
    if (!r->too_wide || width < r->too_wide)
        r->too_wide = width;
    range_halve_width(r, width);
}

enum range_advice range_on_fault(struct range *r, uint64_t width, const struct fault_info *f)
{
    bool at_floor = width == 0, long_ill = ++r->ill_in_row > GIVE_UP_AFTER;
    switch (fault_policy(f->fault)->range) {
    case FAULT_RANGE_WINDOW:
        range_take_suggestion(r, width, f);
        return at_floor ? RANGE_GIVE_UP : RANGE_AGAIN;
    case FAULT_RANGE_CEILING:
        range_take_ceiling(r, width, f);
        return at_floor ? RANGE_GIVE_UP : RANGE_AGAIN;
    case FAULT_RANGE_HALVE:
        range_halve_width(r, width);
        return at_floor ? RANGE_GIVE_UP : RANGE_AGAIN;
    case FAULT_RANGE_HALVE_WAIT:
        range_halve_width(r, width);
        return at_floor && long_ill ? RANGE_GIVE_UP : RANGE_WAIT;
    case FAULT_RANGE_WAIT:
        return long_ill ? RANGE_GIVE_UP : RANGE_WAIT;
    case FAULT_RANGE_GIVE_UP:
        break;
    }
    return RANGE_GIVE_UP;
}
