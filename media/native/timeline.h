/* One side of a recording: when a packet was said, by its RTP timestamp and by when it came (timeline.c). */
#ifndef MEDIA_TIMELINE_H
#define MEDIA_TIMELINE_H

#include "rtp.h"

/* Where in the recording a side's RTP timestamps lie: the least delayed packet stands where it arrived. In samples. */
struct timeline {
    bool set;
    uint32_t ssrc, timestamp;
    uint16_t sequence;    /* of the newest packet */
    uint32_t late;        /* packets in a row that came more than 200 ms after their place */
    uint32_t span_packets;
    int64_t position;     /* of `timestamp` */
    int64_t until;        /* end of the newest audio, -1: none yet */
    int64_t least_delay;  /* in the current span */
    int64_t span_ends;
    int64_t slip;         /* how far the place has still to move, by one a packet */
};

int64_t timeline_place(struct timeline *line, const struct rtp *rtp, int64_t arrival);
int64_t timeline_due(const struct timeline *line, const struct rtp *rtp, int64_t arrival);
uint32_t timeline_lost(struct timeline *line, const struct rtp *rtp);

#endif
