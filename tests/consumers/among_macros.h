/* Names that <windows.h> and its like take from everybody. */
#ifndef AMONG_MACROS_H
#define AMONG_MACROS_H

#define min(a, b) (((a) < (b)) ? (a) : (b))
#define max(a, b) (((a) > (b)) ? (a) : (b))
#define near
#define far
#define small char
#define interface struct
#define IN
#define OUT
#define CONST const
#define VOID void
#define ERROR 0
#define DELETE (0x00010000L)
#define NO_ERROR 0L
#define CreateWindow(a, b) CreateWindowA(a, b)

#endif
