"""What a recurrent memory is trained and measured on: texts in segments, with a question about them."""
