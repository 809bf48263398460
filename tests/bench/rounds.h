/* CPU time of this thread, and the least of several rounds: what else the machine does can only add. */
#ifndef ROUNDS_H
#define ROUNDS_H

#include <time.h>

#define FRAME 160 /* samples, and bytes of G.711, in 20 ms */

static inline double cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* 0: not measured yet. */
static inline double least(double known, double more)
{
    return known && known < more ? known : more;
}

#endif
