/* SPDX-License-Identifier: MIT */
#include "server/tally.h"

void fb_tally_take(fb_tally_t *tally, const fb_snapshot_t *snapshot)
{
    const fb_events_t *events = &snapshot->events;
    uint64_t number = tally->end < events->first ? events->first : tally->end;
    if (tally->end > events->end)
        number = events->first; /* all was loaded anew, and counts from 0 again */
    for (; number < events->end; number++)
        fb_count(&tally->events[fb_events_get(events, number)->family], 1);
    tally->end = events->end;
}
