# The documents alone: policies and the definition, from names. It needs no provider, so it can be tried offline.

terraform {
  required_version = ">= 1.5"
}

variable "machine" { type = string }
variable "definition_file" { type = string }
variable "partition" { type = string }
variable "region" { type = string }
variable "account" { type = string }
variable "work_queue_arn" { type = string }
variable "work_queue_url" { type = string }
variable "questions_queue_arn" { type = string }
variable "questions_queue_url" { type = string }
variable "topic_arn" { type = string }
variable "bucket" { type = string }
variable "prefix" { type = string }

locals {
  name       = "drfsm-${var.machine}"
  here       = "${var.region}:${var.account}"
  states     = "arn:${var.partition}:states:${local.here}"
  role_name  = "${local.name}-state-machine"
  role_arn   = "arn:${var.partition}:iam::${var.account}:role/${local.role_name}"
  executions = "${local.states}:execution:${local.name}:*"
  mirror     = "${var.prefix}/drfsm/runs"

  # The service knows no resource for answers: the token alone says which task is meant.
  answers = { Effect = "Allow", Action = ["states:SendTaskSuccess", "states:SendTaskFailure"], Resource = "*" }

  statements = {
    # The execution itself: it sends, and does nothing else.
    state_machine = [
      { Effect = "Allow", Action = "sqs:SendMessage", Resource = [var.work_queue_arn, var.questions_queue_arn] },
      {
        Effect = "Allow"
        Action = [
          "logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery",
          "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups",
        ]
        Resource = "*" # the service knows no resource for log deliveries
      },
    ]
    # Beside this, a worker needs what the procedure itself needs.
    worker = [
      {
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage"]
        Resource = var.work_queue_arn
      },
      merge(local.answers, { Action = concat(local.answers.Action, ["states:SendTaskHeartbeat"]) }),
      { Effect = "Allow", Action = "sns:Publish", Resource = var.topic_arn },
    ]
    # Reads what the execution asks and what the run's mirror says; answers. It can begin nothing.
    approver = [
      {
        Effect   = "Allow"
        Action   = ["states:DescribeExecution", "states:GetExecutionHistory"]
        Resource = local.executions
      },
      local.answers,
      { Effect = "Allow", Action = "s3:GetObject", Resource = "arn:${var.partition}:s3:::${var.bucket}/${local.mirror}/*" },
      {
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = "arn:${var.partition}:s3:::${var.bucket}"
        Condition = { StringLike = { "s3:prefix" = "${local.mirror}/*" } }
      },
    ]
    # Begins executions, and sees how they stand. It can answer none.
    starter = [
      { Effect = "Allow", Action = "states:StartExecution", Resource = "${local.states}:stateMachine:${local.name}" },
      { Effect = "Allow", Action = "states:DescribeExecution", Resource = local.executions },
    ]
  }

  queues = { work = var.work_queue_arn, questions = var.questions_queue_arn }
}

output "policies" {
  description = "Who -> what he may do."
  value = {
    for who, statements in local.statements : who => jsonencode({ Version = "2012-10-17", Statement = statements })
  }
}

output "state_machine_name" { value = local.name }
output "state_machine_role_name" { value = local.role_name }

output "state_machine_trust_policy" {
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "states.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account }
        ArnLike      = { "aws:SourceArn" = "${local.states}:stateMachine:${local.name}" }
      }
    }]
  })
}

output "work_queue_policy" { value = local.queue_policies.work }
output "questions_queue_policy" { value = local.queue_policies.questions }

locals {
  # Nobody else of the account may send: a message could name another run.
  queue_policies = {
    for name, arn in local.queues : name => jsonencode({
      Version = "2012-10-17"
      Statement = [
        { Effect = "Allow", Principal = { AWS = local.role_arn }, Action = "sqs:SendMessage", Resource = arn },
        {
          Effect    = "Deny"
          Principal = "*"
          Action    = "sqs:SendMessage"
          Resource  = arn
          Condition = { ArnNotEquals = { "aws:PrincipalArn" = local.role_arn } }
        },
      ]
    })
  }
}

output "definition" {
  description = "The exported machine, with the queues filled in."
  value = templatefile(var.definition_file, {
    work_queue_url      = var.work_queue_url
    questions_queue_url = var.questions_queue_url
  })
}
