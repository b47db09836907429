package grip

import (
	"slices"
	"strings"
)

// The filters that a channel of a hold can have (GRIP §9). They are applied in
// the order in which the hold names them. A filter of any other name does
// nothing, as in Pushpin: it may be one that only the next proxy knows.
const (
	// FilterSkipSelf drops an item whose meta "sender" is the subscription's
	// meta "user".
	FilterSkipSelf = "skip-self"
	// FilterSkipUsers drops an item in whose meta "skip_users", a list with
	// commas, the subscription's meta "user" is.
	FilterSkipUsers = "skip-users"
	// FilterRequireSub drops an item whose meta "require_sub" is none of the
	// hold's channels.
	FilterRequireSub = "require-sub"
	// FilterBuildID replaces %I in content by an id of the hold's place in its
	// channels. It is applied to what a stream begins with, too.
	FilterBuildID = "build-id"
	// FilterVarSubst replaces %(name)s in content by the subscription's meta of
	// that name.
	FilterVarSubst = "var-subst"
	// FilterHTTPCheck has the URL in the subscription's meta "url" asked whether
	// the item may pass. That is I/O and not done in this package.
	FilterHTTPCheck = "http-check"
	// FilterHTTPModify is FilterHTTPCheck whose answer is the new content.
	FilterHTTPModify = "http-modify"
)

// Passes reports whether an item whose meta is pub may go to a subscription
// whose meta is sub, in a hold of those channels: none of the filters skip-self,
// skip-users and require-sub drops it. Other filters are not looked at.
func Passes(filters []string, sub, pub Meta, channels []Channel) bool {
	for _, filter := range filters {
		switch filter {
		case FilterSkipSelf:
			if user := sub.Get("user"); user != "" && pub.Get("sender") == user {
				return false
			}
		case FilterSkipUsers:
			if user := sub.Get("user"); user != "" && listed(pub.Get("skip_users"), user) {
				return false
			}
		case FilterRequireSub:
			name := pub.Get("require_sub")
			if name != "" && !slices.ContainsFunc(channels, func(c Channel) bool { return c.Name == name }) {
				return false
			}
		}
	}
	return true
}

// listed reports whether name is one of the names in list, between commas.
func listed(list, name string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(part) == name {
			return true
		}
	}
	return false
}

// AsksElsewhere reports whether one of the filters is http-check or http-modify:
// what becomes of an item is somebody else's decision.
func AsksElsewhere(filters []string) bool {
	return slices.Contains(filters, FilterHTTPCheck) || slices.Contains(filters, FilterHTTPModify)
}

// ContentFilters returns those of a subscription's filters that change content,
// in their order; nil when there are none.
func ContentFilters(filters []string) []string {
	var out []string
	for _, filter := range filters {
		if changesContent(filter) {
			out = append(out, filter)
		}
	}
	return out
}

func changesContent(filter string) bool {
	return filter == FilterBuildID || filter == FilterVarSubst || filter == FilterHTTPModify
}

// Matches reports whether a format with these content filters may go to a
// subscription with these filters: their content filters are the same, in the
// same order. A format whose contentFilters are nil goes to every subscription,
// one whose contentFilters are empty to those that have none.
func Matches(contentFilters, filters []string) bool {
	if contentFilters == nil {
		return true
	}
	for _, filter := range filters {
		if !changesContent(filter) {
			continue
		}
		if len(contentFilters) == 0 || contentFilters[0] != filter {
			return false
		}
		contentFilters = contentFilters[1:]
	}
	return len(contentFilters) == 0
}
