package main

const (
	rateStep   = 1.5  // from one rate to the next while it is only known on which side the highest is
	rateSpread = 1.05 // between the highest that is sustained and one that is not
)

// highest returns the highest rate between least and most, within rateSpread,
// at which try returns true; 0 if there is none. It assumes that if a rate is too
// high, all above are. It begins at start.
func highest(start, least, most float64, try func(rate float64) (bool, error)) (float64, error) {
	low, high := 0., 0. // the highest that was sustained and the lowest that was not; 0: none
	for rate := start; ; {
		ok, err := try(rate)
		switch {
		case err != nil:
			return low, err
		case ok:
			low = rate
		default:
			high = rate
		}
		switch {
		case high == 0 && low >= most, low == 0 && high <= least, low > 0 && high > 0 && high <= low*rateSpread:
			return low, nil
		case high == 0:
			rate = min(low*rateStep, most)
		case low == 0:
			rate = max(high/rateStep, least)
		default:
			rate = (low + high) / 2
		}
	}
}
