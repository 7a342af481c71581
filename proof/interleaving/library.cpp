/* library.cpp - the library's own text, compiled over the model. */
#include "model.hpp"

#include "chunk.c"
#include "lifetime.c"
#include "resource.c"
#include "statistics.c"
