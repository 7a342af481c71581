/* library.cpp - the library's own text, compiled over the model. */
#include "model.hpp"

#include "slot.h"
static slots &all_slots = reinterpret_cast<slots &>(model::memory[model::SLOTS_AT]);
static model::field<pthread_key_t> &key =
    reinterpret_cast<model::field<pthread_key_t> &>(model::memory[model::KEY_AT]);

#include "chunk.c"
#include "lane.c"
#include "lifetime.c"
#include "resource.c"
#include "slot.c"
#include "statistics.c"

void model::library_begins()
{
    ::library_begins();
}
