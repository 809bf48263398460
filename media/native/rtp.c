/* RFC 3550 5.1 and 5.3.1: finds the payload of an RTP packet behind CSRC list, extension and padding. */
#include "rtp.h"

/* Bytes of CSRC list and header extension after the fixed header, or SIZE_MAX where they overrun `length`. */
static size_t rtp_extra(const uint8_t *data, size_t length)
{
    size_t offset = RTP_HEADER + 4u * (data[0] & 0x0F);
    if (data[0] & 0x10) {
        if (offset + 4 > length)
            return SIZE_MAX;
        offset += 4 + 4u * read16(data + offset + 2);
    }
    return offset > length ? SIZE_MAX : offset;
}

bool rtp_parse(struct rtp *rtp, uint8_t *data, size_t length)
{
    if (length < RTP_HEADER || data[0] >> 6 != 2)
        return false;
    size_t offset = rtp_extra(data, length);
    if (offset == SIZE_MAX)
        return false;
    size_t padding = data[0] & 0x20 ? data[length - 1] : 0;
    if (data[0] & 0x20 && (padding == 0 || padding > length - offset))
        return false;
    rtp->payload = data + offset;
    rtp->length = length - offset - padding;
    rtp->samples = (uint16_t)rtp->length;
    rtp->codec = NULL;
    rtp->made = false;
    rtp->marker = data[1] & 0x80;
    rtp->payload_type = data[1] & 0x7F;
    rtp->sequence = read16(data + 2);
    rtp->timestamp = read32(data + 4);
    rtp->ssrc = read32(data + 8);
    return true;
}
