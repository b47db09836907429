package main

import (
	"fmt"
	"time"
)

// figures are what the demonstration's log line shows.
type figures struct {
	headline                  uint64 // id of the newest; not shown
	edgesUp, groupsUp, needed int
	ping                      *span // nil: nobody has answered yet
	received                  int
	delivery                  *span // nil: unknown
}

// String returns the line without its time: edges up/needed, client groups
// up/needed, pings, clients that have the newest headline, delivery times. Times
// are minimum/maximum/average in milliseconds, zeros while there are none.
func (f figures) String() string {
	return fmt.Sprintf("en=%d/%d cn=%d/%d ping=%s r=%d rt=%s",
		f.edgesUp, f.needed, f.groupsUp, f.needed, f.ping.line(), f.received, f.delivery.line())
}

func (s *span) line() string {
	if s == nil {
		return "0/0/0"
	}
	ms := func(d time.Duration) int64 { return d.Round(time.Millisecond).Milliseconds() }
	return fmt.Sprintf("%d/%d/%d", ms(s.min), ms(s.max), ms(s.avg))
}

// logLine returns the demonstration's log line.
func logLine(now time.Time, f figures) string {
	return now.Format("15:04:05.000") + " " + f.String()
}
