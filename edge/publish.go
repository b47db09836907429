package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"marquee/fanout"
	"marquee/grip"
	"marquee/zmq"
)

// receiptWait is how long a publisher who asked for receipts waits for the last
// write.
const receiptWait = 5 * time.Second

// errBodyCutOff is seen by those who close only their side, too early.
var errBodyCutOff = &refusal{http.StatusBadRequest, "Request body could not be read."}

// published is the answer to a publisher who accepts JSON. Its receipts are of the
// clients of this process, also while another one of a hand-over has some.
type published struct {
	Message  string           `json:"message"`
	Receipts []fanout.Receipt `json:"receipts"`
	Warning  string           `json:"warning,omitempty"`
}

// publish takes items. A publisher who accepts JSON gets a receipt for each
// item; any other is answered as soon as the items are on their way.
func (c *control) publish(w http.ResponseWriter, r *http.Request) {
	body, err := readPublish(r)
	var items []grip.Item
	if err == nil {
		items, err = grip.ParseItems(body)
	}
	if err != nil {
		c.edge.metrics.refusedPublishes.Add(1)
		reply(w, http.StatusBadRequest, plainText, err.Error())
		return
	}
	deliveries := make([]*fanout.Delivery, len(items))
	fates := make([]fanout.Fate, len(items))
	warning := c.edge.publishAll(items, deliveries, fates)
	if mediaType(r) != jsonText {
		reply(w, http.StatusOK, plainText, "Published")
		return
	}
	receipts := make([]fanout.Receipt, len(items))
	timer := time.NewTimer(receiptWait)
	defer timer.Stop()
	for i, d := range deliveries {
		if fates[i] == fanout.Delivered {
			select {
			case <-d.Done():
			case <-timer.C:
				timer.Reset(0) // the others are not waited for either
			case <-r.Context().Done():
				return
			}
		}
		receipts[i] = d.Receipt(fates[i])
	}
	w.Header().Set("Content-Type", jsonText)
	_ = json.NewEncoder(w).Encode(published{"Published", receipts, warning})
}

// readPublish reads the body of a publish, of which checkFrame has seen that it
// is not too large.
func readPublish(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, errBodyCutOff
	}
	return body, nil
}

// publishAll gives items, in order, to the clients of this edge and to the other
// edges of the cluster. What became of them here goes into deliveries and fates.
// The warning says why the others did not get them, "" when they did.
func (e *edge) publishAll(items []grip.Item, deliveries []*fanout.Delivery, fates []fanout.Fate) (warning string) {
	for i, item := range items {
		deliveries[i], fates[i] = e.publishItem(item)
	}
	return e.passOn(items)
}

// passOn gives items that were published here to the other edges of the cluster,
// and to the other process of a hand-over, if it does not have them from there.
// It logs, and returns, why somebody did not get them; "" when all did.
func (e *edge) passOn(items []grip.Item) (warning string) {
	var err error
	if e.cluster != nil {
		for _, item := range items {
			if failed := e.cluster.publish(item); failed != nil {
				e.localItems.Add(1)
				err = failed
			}
		}
	}
	if e.cluster == nil || err != nil {
		err = errors.Join(err, e.tell(items, nil))
	}
	if err != nil {
		warning = "published to the clients of this edge only: " + err.Error()
		e.log.Debug(warning)
	}
	return warning
}

// publishItem gives an item to the clients of this edge.
func (e *edge) publishItem(item grip.Item) (*fanout.Delivery, fanout.Fate) {
	e.metrics.received(&item)
	if e.stats != nil {
		e.stats.Report("", zmq.Counts{Received: 1})
	}
	d, fate := e.hub.Publish(item)
	e.metrics.published(fate)
	return d, fate
}
