/* The header is all that there is; a target needs something to compile. */
#include "CEvents.h"
