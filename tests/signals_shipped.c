/* The scenes of signals.c that need no hook in the library, over the library as it ships: a hook keeps the
 * compiler from moving anything across it, and so would hide what only the order of the statements in src/ holds
 * together. */
#define SHIPPED 1
#include "signals.c"
