/* Whose packets count at an endpoint: RFC 7362 latching, guarded. */
#ifndef MEDIA_LATCH_H
#define MEDIA_LATCH_H

#include "address.h"
#include "rtp.h"

#define LATCH_CANDIDATES 4

enum verdict { STRANGER, KNOWN, MOVED };

/* A source that would like to be the far end, and how many packets of one line it has sent. */
struct candidate {
    union address from;
    uint32_t ssrc;
    uint16_t sequence;
    uint8_t count;
};

struct latch {
    union address announced; /* by SDP */
    union address from, rtcp_from; /* who counts; differ from what was announced once latched behind NAT */
    int64_t heard_at; /* last RTP from there, 0: none since it was announced */
    int64_t renewed_until; /* any host may take the place of one that has fallen silent: a re-INVITE came */
    bool nat, mux, rtcp_held;
    uint8_t next;
    struct candidate candidates[LATCH_CANDIDATES];
};

/* What SDP says now. True where it names another address than before: nothing heard so far counts any more. */
bool latch_announce(struct latch *latch, const union address *rtp, uint16_t rtcp_port, bool nat, bool mux, int64_t now);

/* Whether an RTP packet counts; MOVED: it does, and `from` is another address than before. */
enum verdict latch_judge(struct latch *latch, const union address *from, const struct rtp *rtp, int64_t now);

/* Whether a report counts; behind NAT the first one's port is the one that is held. */
bool latch_accepts_rtcp(struct latch *latch, const union address *from);

#endif
