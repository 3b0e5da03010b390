/* SPDX-License-Identifier: MIT */
#include "server/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define BAR_CELLS 40

void fb_progress_begin(fb_progress_t *progress, const char *things, uint64_t total)
{
    *progress = (fb_progress_t){
        .things = things,
        .total = total,
        .begun_ms = fb_clock_monotonic_ms(),
        .shown_percent = -1,
        .is_terminal = isatty(STDERR_FILENO),
    };
}

double fb_progress_seconds(const fb_progress_t *progress)
{
    return (double)(fb_clock_monotonic_ms() - progress->begun_ms) / 1e3;
}

void fb_progress_show(fb_progress_t *progress, uint64_t done)
{
    static const char full[] = "########################################";
    int percent = (int)(done * 100 / progress->total);
    if (percent == progress->shown_percent || (!progress->is_terminal && percent % 10 != 0))
        return;
    progress->shown_percent = percent;
    progress->is_open = progress->is_terminal && done < progress->total;
    double seconds = fb_progress_seconds(progress);
    int cells = percent * BAR_CELLS / 100;
    fprintf(stderr, "%s[%.*s%*s] %3d %%  %llu of %llu %s, %.0f a second%s",
            progress->is_terminal ? "\r" : "", cells, full, BAR_CELLS - cells, "", percent,
            (unsigned long long)done, (unsigned long long)progress->total, progress->things,
            seconds > 0 ? (double)done / seconds : 0.0, progress->is_open ? "" : "\n");
}

void fb_progress_end(fb_progress_t *progress)
{
    if (progress->is_open)
        fputc('\n', stderr);
    progress->is_open = false;
}
