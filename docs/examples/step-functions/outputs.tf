output "state_machine_arn" {
  description = "For `aws stepfunctions start-execution`."
  value       = aws_sfn_state_machine.machine.arn
}

output "work_queue_url" {
  description = "For `drfsm worker --queue`."
  value       = aws_sqs_queue.work.url
}

output "topic_arn" {
  description = "For `drfsm worker --notify`; subscribe the people who decide."
  value       = aws_sns_topic.people.arn
}

output "policy_arns" {
  description = "worker, approver, starter -> the policy to attach."
  value       = { for name, policy in aws_iam_policy.people : name => policy.arn }
}
