/* serves.c - place_total, place_record and place_fit together: a chunk of the size that place_total
 * says, or larger, serves the block wherever it lies. */
#include "place.h"

/*@ requires power_of_two(alignment);
  @ requires base + total <= SIZE_MAX;
  @ assigns \nothing;
  @ ensures \result;
  @*/
static bool place_serves(size_t base, size_t total, size_t bytes, size_t alignment)
{
    size_t need = 0;
    size_t capacity = 0;
    size_t offset = 0;
    size_t end = 0;
    if (!place_total(bytes, alignment, &need) || total < need)
        return true;
    /*@ assert record_lies(base, total, room(base, total)); */
    if (!place_record(base, total, &capacity))
        return false;
    /*@ assert fits(base, capacity, 0, bytes, alignment, padding(base, alignment)); */
    return place_fit(base, capacity, 0, bytes, alignment, &offset, &end);
}
