/* Sizes and offsets of the public types, as text in the assembler's output: nothing is linked or run, so the
 * table of any target that the compiler knows can be had. scripts/check-abi compares it with a file. */
#include <tsmbr.h>

#define SHOW(name, first, second)                                                                                 \
    __asm__ volatile("\n.ascii \"layout " name " %c0 %c1\"" : : "i"(first), "i"(second))
#define TYPE(type) SHOW(#type, sizeof(type), _Alignof(type))
#define FIELD(type, field) SHOW(#type "." #field, offsetof(type, field), sizeof(((type *)0)->field))

/* One value for each field: the compiler warns of a field that is not named here, even one in padding. Those of
 * tsmbr_config that came after the first version stand under their flag bits, here and in the table below: so does
 * that of the version to come which check-abi makes up. */
const tsmbr_upstream all_of_upstream = {0, 0, 0};
const tsmbr_config all_of_config = {
    0, 0, 0, 0, 0, 0,
#ifdef TSMBR_NEXT
    0,
#endif
};
const tsmbr_wrapped all_of_wrapped = {TSMBR_RESOURCE_INIT, 0, 0};
const tsmbr_lane all_of_lane = {0, 0, 0, 0, {0, 0, 0}};
const tsmbr_statistics all_of_statistics = {0, 0, 0, 0, 0, 0};

void layout(void);
void layout(void)
{
    TYPE(tsmbr_upstream);
    FIELD(tsmbr_upstream, allocate);
    FIELD(tsmbr_upstream, deallocate);
    FIELD(tsmbr_upstream, context);
    TYPE(tsmbr_config);
    FIELD(tsmbr_config, upstream);
    FIELD(tsmbr_config, initial_size);
    FIELD(tsmbr_config, buffer);
    FIELD(tsmbr_config, buffer_size);
    FIELD(tsmbr_config, limit);
    FIELD(tsmbr_config, flags);
#ifdef TSMBR_NEXT
    FIELD(tsmbr_config, next);
#endif
    TYPE(tsmbr_resource);
    TYPE(tsmbr_wrapped);
    FIELD(tsmbr_wrapped, resource);
    FIELD(tsmbr_wrapped, otherwise);
    FIELD(tsmbr_wrapped, context);
    TYPE(tsmbr_lane);
    FIELD(tsmbr_lane, cursor);
    FIELD(tsmbr_lane, end);
    FIELD(tsmbr_lane, next_bytes);
    FIELD(tsmbr_lane, resource);
    FIELD(tsmbr_lane, tools);
    TYPE(tsmbr_statistics);
    FIELD(tsmbr_statistics, allocated_bytes);
    FIELD(tsmbr_statistics, reserved_bytes);
    FIELD(tsmbr_statistics, peak_reserved_bytes);
    FIELD(tsmbr_statistics, chunks);
    FIELD(tsmbr_statistics, lost_races);
    FIELD(tsmbr_statistics, wasted_bytes);
}
