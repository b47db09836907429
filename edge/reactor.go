package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// reactor receives gnet's events and passes each to whom it concerns: a client
// connection or a loop's bell. All but the lifecycle run on the loops.
type reactor struct {
	gnet.BuiltinEventEngine
	edge *edge
}

// OnOpen implements gnet.EventHandler.
func (r *reactor) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	if c, ok := gc.Context().(*conn); ok {
		c.open(gc, r.edge.loops[gc.EventLoop()])
	}
	return nil, gnet.None
}

// OnTraffic implements gnet.EventHandler.
func (r *reactor) OnTraffic(gc gnet.Conn) gnet.Action {
	switch x := gc.Context().(type) {
	case *conn:
		x.loop.lag.stir()
		x.traffic()
	case *bell:
		l := r.edge.loops[gc.EventLoop()]
		l.lag.stir()
		x.answered()
		l.turn()
	}
	return gnet.None
}

// OnClose implements gnet.EventHandler.
func (r *reactor) OnClose(gc gnet.Conn, _ error) gnet.Action {
	if c, ok := gc.Context().(*conn); ok {
		c.gone()
	}
	return gnet.None
}

// tickLoop posts every tick to every loop, until stopCh closes.
func (e *edge) tickLoop(stopCh <-chan struct{}) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-stopCh:
			return
		case now := <-ticker.C:
			for _, l := range e.loops {
				l.execute(func() { l.tick(now) })
			}
			if n%int(time.Second/tick) == 0 {
				e.hub.Tick()
				e.tracker.sweep(now)
				e.sources.sweep()
				e.unaccepted.sweep(e.log, now)
				e.crowded.sweep(e.log, now)
				e.untaken.sweep(e.log, now)
			}
		}
	}
}

// gnetLog passes gnet's own words on: they concern the process, or are errors.
type gnetLog struct{ log *slog.Logger }

func (g gnetLog) Debugf(format string, args ...any) { g.log.Debug(fmt.Sprintf(format, args...)) }
func (g gnetLog) Infof(format string, args ...any)  { g.log.Debug(fmt.Sprintf(format, args...)) }
func (g gnetLog) Warnf(format string, args ...any)  { g.log.Warn(fmt.Sprintf(format, args...)) }
func (g gnetLog) Errorf(format string, args ...any) { g.log.Error(fmt.Sprintf(format, args...)) }
func (g gnetLog) Fatalf(format string, args ...any) { g.log.Error(fmt.Sprintf(format, args...)) }
