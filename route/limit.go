package route

import (
	"fmt"
	"strconv"
)

// The bounds of max_head and max_body, in bytes. A shorter head could not hold
// what a browser sends of itself, a longer one nobody reads; to a content there
// is no natural bound.
const (
	maxHeadMin = 1 << 10
	maxHeadMax = 256 << 10
	maxBodyMax = 1 << 50
)

// parseMaxHead reads the value of max_head.
func parseMaxHead(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < maxHeadMin || n > maxHeadMax {
		return 0, fmt.Errorf("it takes a number of bytes, %d to %d, not %s", maxHeadMin, maxHeadMax, clip(s))
	}
	return n, nil
}

// parseMaxBody reads the value of max_body.
func parseMaxBody(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || n > maxBodyMax {
		return 0, fmt.Errorf("it takes a number of bytes, 1 to %d, not %s", int64(maxBodyMax), clip(s))
	}
	return n, nil
}
