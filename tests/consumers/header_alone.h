/* What the two header_alone sources offer the consumers: proof that each was compiled and linked. */
#ifndef HEADER_ALONE_H
#define HEADER_ALONE_H

#ifdef __cplusplus
extern "C" {
#endif

int header_alone_c(void);   /* 1 if a block could be had through tsmbr.h */
int header_alone_cpp(void); /* the same through thread_safe_monotonic_buffer.hpp */

#ifdef __cplusplus
}
#endif

#endif
