/* ITU-T G.711: fills the A-law and mu-law tables at start. */
#include "g711.h"

int16_t alaw_linear[256], alaw_added[256], ulaw_linear[256];
uint8_t alaw_to_ulaw[256];
uint8_t ulaw_to_alaw[256];
uint8_t linear_alaw[8192];

static int decode_alaw(uint8_t code)
{
    code ^= 0x55;
    int segment = (code & 0x70) >> 4;
    int value = ((code & 0x0F) << 4) + (segment ? 0x108 : 8);
    if (segment > 1)
        value <<= segment - 1;
    return code & 0x80 ? value : -value;
}

static uint8_t encode_alaw(int sample13)
{
    int mask = 0xD5, segment = 0;
    if (sample13 < 0) {
        mask = 0x55;
        sample13 = -sample13 - 1;
    }
    while (segment < 8 && sample13 > (0x20 << segment) - 1)
        segment++;
    if (segment == 8)
        return (uint8_t)(0x7F ^ mask);
    return (uint8_t)(((segment << 4) | ((sample13 >> (segment < 2 ? 1 : segment)) & 0x0F)) ^ mask);
}

static int decode_ulaw(uint8_t code)
{
    code = (uint8_t)~code;
    int value = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4);
    return code & 0x80 ? 0x84 - value : value - 0x84;
}

static uint8_t encode_ulaw(int sample)
{
    int mask = 0xFF, segment = 0;
    if (sample < 0) {
        mask = 0x7F;
        sample = -sample;
    }
    sample = (sample > 32635 ? 32635 : sample) + 0x84;
    while (sample >> (segment + 8))
        segment++;
    return (uint8_t)(((segment << 4) | ((sample >> (segment + 3)) & 0x0F)) ^ mask);
}

void g711_init(void)
{
    for (int i = 0; i < 8192; i++)
        linear_alaw[i] = encode_alaw(i < 4096 ? i : i - 8192);
    for (int i = 0; i < 256; i++) {
        alaw_linear[i] = (int16_t)decode_alaw((uint8_t)i);
        alaw_added[i] = (i | 0x80) == ALAW_SILENCE ? 0 : alaw_linear[i];
        ulaw_linear[i] = (int16_t)decode_ulaw((uint8_t)i);
        alaw_to_ulaw[i] = encode_ulaw(decode_alaw((uint8_t)i));
        ulaw_to_alaw[i] = encode_alaw(decode_ulaw((uint8_t)i) >> 3);
    }
}
