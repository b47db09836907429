package fanout

import (
	"fmt"
	"testing"

	"marquee/grip"
)

// The hub keeps a channel's last item, whose size it accounts for, but not the
// bytes that were made of it: as many forms as there were templates.
func TestAnswersAreForgottenOnceDelivered(t *testing.T) {
	st := newStage(t, 2)
	template := func(i int) *Template {
		return NewTemplate(grip.Response{Header: grip.Header{{Name: "X-Request-Id", Value: fmt.Sprint(i)}}})
	}
	for i := range 10 {
		a := newAsker("c@7")
		a.watch.Template = template(i)
		a.join(1)
		a.then = func() { st.shards[i%2].Leave(&a.watch) }
		st.shards[i%2].Enter(&a.watch)
	}
	d := st.publish("c", "8", "7")
	st.shards[0].Turn()
	if n := len(d.answers); n != 5 {
		t.Errorf("with one loop to go, the item has %d answers, want 5", n)
	}
	st.run()
	if n := len(d.answers); n != 0 {
		t.Errorf("delivered, the item has %d answers, want 0", n)
	}

	late := newAsker("c@7")
	late.watch.Template = template(1)
	standing, at := st.shards[0].Enter(&late.watch)
	if standing != AtHand || string(at.Response().Body) != "8" {
		t.Errorf("a late watch got %d and %v, want at hand and item 8", standing, at)
	}
	if n := len(d.answers); n != 0 {
		t.Errorf("after a late watch, the item has %d answers, want 0", n)
	}
	st.shards[0].Leave(&late.watch)
	st.wantEmpty()
}
