package zmq

import (
	"context"
	"slices"
	"sync"

	"marquee/grip"
)

// The conditions of commands that fail (GRIP §5.3).
const (
	badRequest     = "bad-request"
	methodNotFound = "method-not-found"
	itemNotFound   = "item-not-found"
)

// rep is the socket that answers commands. A peer's next command is read when
// the one before has been answered.
type rep struct {
	socket  *socket
	inputs  *Inputs
	publish func([]grip.Item)
	recover func()
	conns   func([]string) []string
	askedCh chan asked // peers → answerLoop; unbuffered, so that peers wait
}

// asked is a command and where its answer goes.
type asked struct {
	message
	answerCh chan []byte // has room for the answer
}

func newRep(cfg Config, inputs *Inputs) *rep {
	r := &rep{
		inputs:  inputs,
		publish: cfg.Publish,
		recover: cfg.Recover,
		conns:   cfg.Conns,
		askedCh: make(chan asked),
	}
	r.socket = newSocket("REP", cfg.Log, r.serve)
	return r
}

func (r *rep) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { r.answerLoop(ctx) })
	r.socket.run(ctx)
	wg.Wait()
}

// serve reads the commands of one peer and writes the answers. A command's
// frames are those by which the answer finds its way, an empty one, and one
// with the tnetstring.
func (r *rep) serve(ctx context.Context, p *peer) error {
	answerCh := make(chan []byte, 1)
	for {
		m, err := p.readMessage()
		if err != nil {
			return err
		}
		end := slices.IndexFunc(m.frames, func(frame []byte) bool { return len(frame) == 0 })
		if end < 0 {
			r.socket.complain("message skipped: it has no way back", "peer", p)
			continue
		}
		envelope, body := m.frames[:end+1], m.frames[end+1:]
		select {
		case <-ctx.Done():
			return nil
		case r.askedCh <- asked{message{body, m.cut}, answerCh}:
		}
		select {
		case <-ctx.Done():
			return nil
		case answer := <-answerCh:
			if err := p.write(appendMessage(nil, append(slices.Clip(envelope), answer)...)); err != nil {
				return err
			}
		}
	}
}

// answerLoop carries out the commands of all peers.
func (r *rep) answerLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-r.askedCh:
			a.answerCh <- r.answer(a.message)
		}
	}
}

// answer carries out a command. What is no command is answered, too, or who
// sent it would wait for ever.
func (r *rep) answer(m message) []byte {
	if m.cut || len(m.frames) != 1 {
		return failure(nil, badRequest, nil)
	}
	v, err := grip.ParseTnetstring(m.frames[0])
	request, isDict := v.(grip.Dict)
	if err != nil || !isDict {
		return failure(nil, badRequest, nil)
	}
	id := request.Get("id")
	method, isString := request.Get("method").(string)
	args, isDict := request.Get("args").(grip.Dict)
	if _, ok := id.(string); id != nil && !ok || !isString || request.Get("args") != nil && !isDict {
		return failure(nil, badRequest, nil)
	}
	switch method {
	case "publish":
		items, err := grip.ParseItemsDict(args)
		if err != nil {
			return failure(id, badRequest, err.Error())
		}
		r.publish(items)
		return success(id, nil)
	case "recover":
		r.recover()
		return success(id, nil)
	case "get-zmq-uris":
		return success(id, r.uris())
	case "conncheck":
		return r.conncheck(id, args)
	case "refresh":
		return r.refresh(id, args)
	}
	return failure(id, methodNotFound, nil)
}

// uris returns where the sockets are.
func (r *rep) uris() grip.Dict {
	pull, sub, rep := r.inputs.Endpoints()
	uris := grip.Dict{{Key: "command", Value: rep}}
	if pull != "" {
		uris = append(uris, grip.Entry{Key: "publish-pull", Value: pull})
	}
	if sub != "" {
		uris = append(uris, grip.Entry{Key: "publish-sub", Value: sub})
	}
	return uris
}

// conncheck returns those of the ids that are connections.
func (r *rep) conncheck(id any, args grip.Dict) []byte {
	list, ok := args.Get("ids").([]any)
	if !ok {
		return failure(id, badRequest, nil)
	}
	ids := make([]string, len(list))
	for i, v := range list {
		if ids[i], ok = v.(string); !ok {
			return failure(id, badRequest, nil)
		}
	}
	live := []any{}
	for _, conn := range r.conns(ids) {
		live = append(live, conn)
	}
	return success(id, live)
}

// refresh makes the WebSocket-over-HTTP connections of a channel ask their
// origin. That is what an item with that action does. One connection alone, by
// its cid, is never found: none is known by an id of that kind.
func (r *rep) refresh(id any, args grip.Dict) []byte {
	if _, ok := args.Get("cid").(string); ok {
		return failure(id, itemNotFound, nil)
	}
	channel, ok := args.Get("channel").(string)
	if !ok {
		return failure(id, badRequest, nil)
	}
	r.publish([]grip.Item{{Channel: channel, NoSeq: true, WSMessage: &grip.WSMessage{Action: grip.Refresh}}})
	return success(id, nil)
}

// success returns the answer to a command that was carried out; id is nil when
// the command had none.
func success(id, value any) []byte {
	return grip.AppendTnetstring(nil, append(answerTo(id),
		grip.Entry{Key: "success", Value: true}, grip.Entry{Key: "value", Value: value}))
}

// failure returns the answer to a command that was not; value is nil or says
// more.
func failure(id any, condition string, value any) []byte {
	answer := append(answerTo(id),
		grip.Entry{Key: "success", Value: false}, grip.Entry{Key: "condition", Value: condition})
	if value != nil {
		answer = append(answer, grip.Entry{Key: "value", Value: value})
	}
	return grip.AppendTnetstring(nil, answer)
}

func answerTo(id any) grip.Dict {
	if id == nil {
		return grip.Dict{}
	}
	return grip.Dict{{Key: "id", Value: id}}
}
