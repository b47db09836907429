package main

import (
	"crypto/tls"
	"testing"
)

// What holds for clients holds for those who speak TLS.
func TestOverTLS(t *testing.T) {
	tests := []struct {
		name string
		test func(*testing.T)
	}{
		{"malformed request", TestMalformedRequest},
		{"request cut anywhere", TestRequestCutAnywhere},
		{"pipelining", TestPipelining},
		{"expect continue", TestExpectContinue},
		{"client leaves", TestClientLeaves},
		{"slow client", TestSlowClient},
		{"slow client sends on", TestSlowClientSendsOn},
		{"slow client of publish", TestSlowClientOfPublish},
		{"stalled client", TestStalledClient},
		{"timeouts", TestTimeouts},
		{"drain", TestDrain},
		{"drain timeout", TestDrainTimeout},
		{"drain slow client", TestDrainSlowClient},
		{"hold timeout", TestHoldTimeout},
		{"hold variants", TestHoldVariants},
		{"upload", TestUpload},
		{"upload as it comes", TestUploadAsItComes},
		{"upload answered early", TestUploadAnsweredEarly},
		{"upload breaks off", TestUploadBreaksOff},
		{"event stream", TestEventStream},
		{"pipelining behind stream", TestPipeliningBehindStream},
		{"pipelining behind stream is bounded", TestPipeliningBehindStreamIsBounded},
		{"client leaves download", TestClientLeavesDownload},
		{"origin breaks off", TestOriginBreaksOff},
		{"streams share", TestStreamsShare},
		{"streams leave", TestStreamsLeave},
		{"requests behind stream", TestRequestsBehindStream},
		{"drain streams", TestDrainStreams},
		{"slow stream is cut off", TestSlowStreamIsCutOff},
		{"slow stream loses messages", TestSlowStreamLosesMessages},
		{"slow stream drains", TestSlowStreamDrains},
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			overTLS(t, func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version })
			for _, tt := range tests {
				t.Run(tt.name, tt.test)
			}
		})
	}
}
