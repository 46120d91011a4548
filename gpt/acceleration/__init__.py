"""What makes a step fast and leaves what it computes, behind `gpt.acceleration.step`."""
