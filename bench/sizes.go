package main

import (
	"fmt"
	"strconv"
	"strings"
)

// sizes are numbers of clients, as a flag: ascending, separated by commas.
type sizes []int

// String writes s as Set reads it.
func (s *sizes) String() string {
	text := make([]string, len(*s))
	for i, n := range *s {
		text[i] = strconv.Itoa(n)
	}
	return strings.Join(text, ",")
}

// Set replaces s by what text says.
func (s *sizes) Set(text string) error {
	*s = nil
	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 || n > maxClients {
			return fmt.Errorf("%q: must be from 1 to %d", field, maxClients)
		}
		if len(*s) > 0 && n <= (*s)[len(*s)-1] {
			return fmt.Errorf("%d: must be more than the one before", n)
		}
		*s = append(*s, n)
	}
	return nil
}

// thousands writes n with commas.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
