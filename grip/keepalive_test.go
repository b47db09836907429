package grip

import (
	"reflect"
	"testing"
	"time"
)

func TestParseKeepAlive(t *testing.T) {
	idle := func(content string, timeout time.Duration) *KeepAlive {
		return &KeepAlive{Content: []byte(content), Timeout: timeout}
	}
	for _, tt := range []struct {
		name, value string
		want        *KeepAlive
	}{
		{"§1.3 raw, idle and 55 s by default", "ping", idle("ping", 55*time.Second)},
		{"§1.3 raw", `a\nb; format=raw`, idle(`a\nb`, DefaultKeepAlive)},
		{"§1.3 cstring", `:\r\n\n\x41\xfF\\ ; format=cstring; timeout=20`, idle(":\r\n\nA\xff\\", 20*time.Second)},
		{"§1.3 other escapes vanish", `a\qb\tc; format=cstring`, idle("abc", DefaultKeepAlive)},
		{"§1.3 base64", "AP8K; format=base64", idle("\x00\xff\n", DefaultKeepAlive)},
		{"base64 with padding", "aGk=; format=base64", idle("hi", DefaultKeepAlive)},
		{"base64 without its padding", "aGk; format=base64", idle("hi", DefaultKeepAlive)},
		{"§1.3 mode idle", "x; mode=idle", idle("x", DefaultKeepAlive)},
		{"§1.3 mode interval", "x; mode=interval; timeout=5", &KeepAlive{Content: []byte("x"), Timeout: 5 * time.Second, Interval: true}},
		{"§1.3 timeout at least 1 s", "x; timeout=0", idle("x", time.Second)},
		{"commas and quotes are data, as in Pushpin", `{"a":1, "b":";"}\n; format=cstring`, idle("{\"a\":1, \"b\":\";\"}\n", DefaultKeepAlive)},
		{"names of parameters in capitals", "x; TIMEOUT=7; Mode=interval", &KeepAlive{Content: []byte("x"), Timeout: 7 * time.Second, Interval: true}},
		{"quoted parameter", `x; timeout="7"`, idle("x", 7*time.Second)},
		{"empty parameters are the default", "x; mode=; format=", idle("x", DefaultKeepAlive)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseKeepAlive(Header{{"Grip-Keep-Alive", tt.value}, {"Grip-Keep-Alive", "second; mode=odd"}})
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Grip-Keep-Alive: %s\n got %+v, %v\nwant %+v", tt.value, got, err, tt.want)
			}
		})
	}
}

func TestParseKeepAliveErrors(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"§1.3 no data", "", "Grip-Keep-Alive cannot be empty"},
		{"§1.3 no data before the parameters", "; timeout=5", "Grip-Keep-Alive cannot be empty"},
		{"§1.3 no data in cstring", `\q; format=cstring`, "Grip-Keep-Alive cannot be empty"},
		{"§1.3 no data in base64", "==; format=base64", "Grip-Keep-Alive cannot be empty"},
		{"cstring ends in a backslash", `a\; format=cstring`, "failed to parse Grip-Keep-Alive cstring format"},
		{"cstring ends in an escape", `a\x4; format=cstring`, "failed to parse Grip-Keep-Alive cstring format"},
		{"cstring that is not hexadecimal", `\x4g; format=cstring`, "failed to parse Grip-Keep-Alive cstring format"},
		{"cstring with a sign", `\x+4; format=cstring`, "failed to parse Grip-Keep-Alive cstring format"},
		{"base64", "a?; format=base64", "failed to parse Grip-Keep-Alive base64 format"},
		{"format", "x; format=hex", "no such Grip-Keep-Alive format 'hex'"},
		{"mode", "x; mode=Idle", "no such Grip-Keep-Alive mode 'Idle'"},
		{"timeout", "x; timeout=soon", "failed to parse Grip-Keep-Alive timeout value"},
		{"timeout too large for a duration", "x; timeout=9223372036854775807", "failed to parse Grip-Keep-Alive timeout value"},
		{"timeout negative", "x; timeout=-1", "Grip-Keep-Alive timeout has invalid value"},
		{"open quote", `x; timeout="5`, "failed to parse Grip-Keep-Alive: quoted string has no end"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseKeepAlive(Header{{"Grip-Keep-Alive", tt.value}})
			if err == nil || err.Error() != tt.want {
				t.Errorf("Grip-Keep-Alive: %s\n got %+v, %v\nwant error %s", tt.value, got, err, tt.want)
			}
		})
	}
}
