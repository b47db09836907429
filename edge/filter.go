package main

import (
	"context"
	"net/url"
	"slices"
	"time"

	"marquee/fanout"
	"marquee/grip"
	"marquee/upstream"
)

// filter carries out the filters of w on an item, in their order, asking for
// those that somebody else decides; w waits for it. then is called on the loop
// with the content that the item has afterwards, or with drop; it must find out
// for itself whether w is still there. A filter that fails drops the item.
func (l *loop) filter(s *service, base, at *url.URL, w *fanout.Watch, d *fanout.Delivery, then func(content []byte, drop bool)) {
	item := d.Item()
	channel := w.Channel(item.Channel)
	f := &filtering{
		loop: l, names: channel.Filters, meta: w.Meta, then: then, content: d.Content(w),
		request: upstream.FilterRequest{Sub: w.Meta, Pub: item.Meta, Last: s.known(w.Channels)},
		after:   slices.Clone(w.Channels),
	}
	for i := range f.after {
		if f.after[i].Name == item.Channel && !item.NoSeq {
			f.after[i].PrevID = item.ID
		}
	}
	var err error
	f.request.Service, f.request.Host, f.request.Target, err = s.resolve(base, at, w.Meta.Get("url"))
	if err != nil {
		l.unfiltered(s, err)
		l.post(func() { then(nil, true) })
		return
	}
	f.service = s
	f.next()
}

// filtering is one item on its way through the filters of one watch. Only one
// goroutine has it at a time.
type filtering struct {
	loop    *loop
	service *service
	request upstream.FilterRequest
	names   []string // filters that are still to be applied
	meta    grip.Meta
	after   []grip.Channel // with the ids that they have after the item
	content []byte
	then    func(content []byte, drop bool)
}

// filterWait bounds the wait for one answer.
const filterWait = 10 * time.Second

// next applies filters until one has to ask.
func (f *filtering) next() {
	for len(f.names) > 0 {
		name := f.names[0]
		f.names = f.names[1:]
		if name == grip.FilterHTTPCheck || name == grip.FilterHTTPModify {
			f.ask(name == grip.FilterHTTPModify)
			return
		}
		content, err := grip.Rewrite([]string{name}, f.meta, f.after, f.content)
		if err != nil {
			f.end(err)
			return
		}
		f.content = content
	}
	f.end(nil)
}

func (f *filtering) ask(modify bool) {
	r := f.request
	r.Modify, r.Content = modify, f.content
	ctx, cancel := context.WithTimeout(context.Background(), filterWait)
	f.loop.edge.origin.Filter(ctx, r, func(v upstream.Verdict) {
		cancel()
		switch {
		case v.Err != nil:
			f.end(v.Err)
		case v.Drop:
			f.loop.post(func() { f.then(nil, true) })
		default:
			if modify && !v.Unchanged {
				f.content = v.Content
			}
			f.next()
		}
	})
}

// end gives the result to the loop.
func (f *filtering) end(err error) {
	f.loop.post(func() {
		if err != nil {
			f.loop.unfiltered(f.service, err)
		}
		f.then(f.content, err != nil)
	})
}

// begun returns the response with what the origin gives streams to begin with, or
// to go on with, to which build-id is applied, too (GRIP §4.1).
func (s *service) begun(answer *upstream.Answer) (grip.Response, error) {
	r := answer.Response
	if answer.Hold == nil || answer.Body != nil {
		return r, nil
	}
	for _, c := range answer.Hold.Channels {
		if slices.Contains(c.Filters, grip.FilterBuildID) {
			body, err := grip.Rewrite([]string{grip.FilterBuildID}, answer.Hold.Meta, s.prefixed(answer.Hold.Channels), r.Body)
			r.Body = body
			return r, err
		}
	}
	return r, nil
}

// unfiltered notes that somebody does not get an item because a filter failed.
func (l *loop) unfiltered(s *service, err error) {
	s.counts.unfiltered.Add(1)
	l.edge.unfiltered.Add(1)
	l.edge.log.Warn("an item is skipped: its filter failed", "route", s.route.ID, "err", err)
}
