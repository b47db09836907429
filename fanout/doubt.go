package fanout

// Doubt says that items of the channel may have passed by unseen: what waits
// for it, or stands on it, is told so by and by (see Recheck).
func (s *Shard) Doubt(channel string) {
	if ws := s.channels[channel]; ws != nil {
		s.doubt(ws)
	}
}

// DoubtAll is Doubt for every channel.
func (s *Shard) DoubtAll() {
	for _, ws := range s.channels {
		s.doubt(ws)
	}
}

// Recheck tells at most n of the watches in doubt, so that the origin is not
// asked everything at once. Those that pause stay in doubt until they go on: the
// origin may have been asked before.
func (s *Shard) Recheck(n int) {
	for range len(s.doubtful) {
		if n == 0 {
			break
		}
		w := s.doubtful[0]
		s.doubtful[0] = nil
		s.doubtful = s.doubtful[1:]
		w.listed = w.doubted && w.paused
		switch {
		case w.listed:
			s.doubtful = append(s.doubtful, w)
		case !w.doubted: // left meanwhile
		case w.Group == nil:
			n--
			s.Leave(w)
			w.Asker.Superseded()
		default:
			n--
			s.missed(w)
		}
	}
	if len(s.doubtful) == 0 {
		s.doubtful = nil
	}
}

func (s *Shard) doubt(ws *watches) {
	for _, w := range ws.list {
		w.doubted = true
		if !w.listed {
			w.listed = true
			s.doubtful = append(s.doubtful, w)
		}
	}
}
