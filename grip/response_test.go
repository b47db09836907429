package grip

import (
	"reflect"
	"testing"
)

func TestResponseWith(t *testing.T) {
	for _, tt := range []struct {
		name             string
		hold, item, want Response
	}{
		{
			"§3.2 status and body are the item's",
			Response{Code: 503, Reason: "Held", Body: []byte("{}")},
			Response{Code: 404, Reason: "Gone Fishing", Body: []byte("no")},
			Response{Code: 404, Reason: "Gone Fishing", Header: Header{}, Body: []byte("no")},
		},
		{
			"§3.2 default code, not the hold's; standard phrase",
			Response{Code: 503, Reason: "Held"},
			Response{},
			Response{Code: 200, Header: Header{}},
		},
		{
			"§3.2 item's fields replace all of a name, the hold's others stay in order",
			Response{Header: Header{{"X-From-Origin", "1"}, {"content-type", "a/b"}, {"Vary", "A"}, {"Vary", "B"}, {"X-Last", "2"}}},
			Response{Header: Header{{"Content-Type", "c/d"}, {"VARY", "C"}, {"Vary", "D"}}},
			Response{Code: 200, Header: Header{{"X-From-Origin", "1"}, {"X-Last", "2"}, {"Content-Type", "c/d"}, {"VARY", "C"}, {"Vary", "D"}}},
		},
		{
			"§3.2 item's Grip- fields are stripped",
			Response{Header: Header{{"X", "1"}}},
			Response{Header: Header{{"Grip-Expose-Headers", "X"}, {"grip-hold", "response"}, {"Y", "2"}}},
			Response{Code: 200, Header: Header{{"X", "1"}, {"Y", "2"}}},
		},
		{
			"RFC 9110 §6.6.1 the hold's Date is not the answer's",
			Response{Header: Header{{"date", "then"}, {"X", "1"}}},
			Response{},
			Response{Code: 200, Header: Header{{"X", "1"}}},
		},
		{
			"RFC 9110 §6.6.1 the item's Date is",
			Response{Header: Header{{"Date", "then"}}},
			Response{Header: Header{{"Date", "now"}}},
			Response{Code: 200, Header: Header{{"Date", "now"}}},
		},
		{
			"RFC 9110 §8.4 the hold's Content-Encoding is not about the item's body",
			Response{Header: Header{{"Content-Encoding", "gzip"}}, Body: []byte("\x1f\x8b")},
			Response{Body: []byte("plain")},
			Response{Code: 200, Header: Header{}, Body: []byte("plain")},
		},
		{
			"RFC 9110 §8.8 the hold's validators are not the item's",
			Response{Header: Header{{"ETag", `"empty"`}, {"Last-Modified", "then"}, {"X", "1"}}, Body: []byte("{}")},
			Response{Header: Header{{"Last-Modified", "now"}}, Body: []byte("new")},
			Response{Code: 200, Header: Header{{"X", "1"}, {"Last-Modified", "now"}}, Body: []byte("new")},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			holdBefore := append(Header(nil), tt.hold.Header...)
			itemBefore := append(Header(nil), tt.item.Header...)
			if got := tt.hold.With(tt.item); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v With %+v\n got %+v\nwant %+v", tt.hold, tt.item, got, tt.want)
			}
			if !reflect.DeepEqual(tt.hold.Header, holdBefore) || !reflect.DeepEqual(tt.item.Header, itemBefore) {
				t.Errorf("With changed its arguments: %v, %v", tt.hold.Header, tt.item.Header)
			}
		})
	}
}

func BenchmarkResponseWith(b *testing.B) {
	hold := Response{Header: Header{{"Date", "then"}, {"Server", "origin"}, {"Content-Type", "application/json"}}}
	item := Response{Header: Header{{"Content-Type", "application/json"}}, Body: []byte(`{"id": 2}`)}
	b.ReportAllocs()
	for b.Loop() {
		hold.With(item)
	}
}
