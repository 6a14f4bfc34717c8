/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
#ifndef WEFT_READ_H
#define WEFT_READ_H

/* One load at this place: the compiler neither repeats nor drops nor moves it. */
#define READ(x) (*(const volatile typeof(x) *)&(x))

#ifndef barrier
#define barrier() __asm__ volatile("" ::: "memory")
#endif

#endif
