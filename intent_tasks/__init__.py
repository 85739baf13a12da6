"""What each customer of a shop is about to do: learned, predicted, written back and measured."""
