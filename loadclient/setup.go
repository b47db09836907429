package main

// setUp has count clients ask t, each from its turn at -rate on. It returns what
// that changes, "" if nothing. Loop only, or before it runs.
//
// Clients that ask t already go on undisturbed. At the same URL, but connected
// elsewhere, each goes on until its turn to close and connect anew, and keeps
// the headline that it has. At another URL there are other headlines, so all
// clients end and as many begin.
func (p *pool) setUp(count int, t *target) string {
	change := "more clients"
	switch {
	case t == p.target && count == p.wanted:
		return ""
	case t == p.target && count < p.wanted:
		change = "fewer clients"
	case t == p.target:
	case p.target == nil:
		change = "first"
	case t.url == p.target.url:
		change = "clients connect elsewhere"
	default:
		change = "clients ask another URL"
		p.shrink(0)
		p.ledger.forget()
		p.tally = tally{}
	}
	if t != p.target {
		p.target = t
		p.generation++
	}
	p.wanted = count
	p.shrink(count)
	p.cursor = 0
	p.begun, p.beganAt = 0, p.now()
	return change
}

// shrink ends clients until no more than count are left: first those without a
// poll in flight, of both kinds those with the highest numbers.
func (p *pool) shrink(count int) {
	for _, held := range []bool{false, true} {
		for i := len(p.clients) - 1; i >= 0 && p.active() > count; i-- {
			if s := p.clients[i].state; s != idle && (s == polling) == held {
				p.end(int32(i))
			}
		}
	}
}

// active is how many clients are not idle.
func (p *pool) active() int { return len(p.clients) - p.inState[idle] }

// end makes the client idle and counts it nowhere any more.
func (p *pool) end(i int32) {
	c := &p.clients[i]
	p.hangUp(i)
	p.timers.remove(i)
	if c.started {
		p.started--
		p.tally.leave(c.id)
	}
	p.succeed(c)
	p.enter(i, idle)
	*c = client{fd: -1}
}

// next returns the next client that is to begin, or to begin anew since it
// connected for an earlier target; ok is false when there is none any more.
func (p *pool) next() (i int32, ok bool) {
	for ; p.cursor < len(p.clients); p.cursor++ {
		switch c := &p.clients[p.cursor]; {
		case c.state == idle && p.active() < p.wanted:
			return int32(p.cursor), true
		case c.state != idle && c.generation != p.generation:
			return int32(p.cursor), true
		}
	}
	return 0, false
}

// begin has the client connect and ask now, whatever it did before.
func (p *pool) begin(i int32) {
	p.hangUp(i)
	p.succeed(&p.clients[i])
	p.request(i)
}
