package main

// askList is the answered asks of a loop, oldest first.
type askList struct{ first, last *ask }

func (l *askList) push(a *ask) {
	a.older, a.newer = l.last, nil
	if l.last != nil {
		l.last.newer = a
	} else {
		l.first = a
	}
	l.last = a
}

func (l *askList) remove(a *ask) {
	if a.older != nil {
		a.older.newer = a.newer
	} else {
		l.first = a.newer
	}
	if a.newer != nil {
		a.newer.older = a.older
	} else {
		l.last = a.older
	}
	a.older, a.newer = nil, nil
}
