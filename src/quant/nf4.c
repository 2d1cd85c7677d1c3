/* NF4: sixteen levels that equally many numbers of a normal distribution fall to, scaled to [-1, 1].
 *
 *   level[i] = (Q(i / 17) + Q((i + 1) / 17)) / 2, once for each side of an exact zero, over the largest
 *
 * with Q the normal quantile.  The numbers are those that bitsandbytes has, in f32. */
#include "quant/quant.h"

const lm_quant_type lm_quant_type_nf4 = {
    .name = "nf4", .source = "Dettmers et al. 2023, \"QLoRA\", section 3 and appendix E",
    .bits = 4, .block = 64, .unit = 1,
    .level = { -0x1p+0f, -0x1.647362p-1f, -0x1.0cd66p-1f, -0x1.9465400p-2f, -0x1.23449ap-2f, -0x1.7a6a7ep-3f, -0x1.74f0e2p-4f, 0,
               0x1.45f5fep-4f, 0x1.4995c6p-3f, 0x1.f809bap-3f, 0x1.5a0674p-2f, 0x1.c34970p-2f, 0x1.200f56p-1f, 0x1.722766p-1f, 0x1p+0f },
};
